//! Objectives against PyTorch: values and gradients of `fixtures/distill.py`.

use std::path::PathBuf;

use tch::{Device, Kind, Tensor};
use tutelage::device::Seed;
use tutelage::distill::projectors::{Projectors, Query, Widths};
use tutelage::distill::statistics::{Example, Moments};
use tutelage::distill::{Objective, States, Statistics, Vocabularies};
use tutelage::experiment::settings::{Algorithm, Divergence};
use tutelage::models::head::Head;
use tutelage::models::weights::Checkpoint;

use crate::fixtures::fixture;

const WIDTHS: Widths = Widths { student: 4, teacher: 6 };

fn path() -> PathBuf {
    fixture("distill.safetensors")
}

struct Side {
    /// Hidden states at all positions `[batch, longest, width]`.
    all: Tensor,
    hidden: Tensor,
    head: Tensor,
    embedding: Tensor,
    inputs: Tensor,
    labels: Tensor,
    lengths: Vec<i64>,
}

fn read(file: &Checkpoint, name: &str, kind: Kind) -> Tensor {
    file.read(name, kind, Device::Cpu).unwrap().unwrap_or_else(|| panic!("`{name}` is not in the fixture"))
}

impl Side {
    fn read(file: &Checkpoint, name: &str) -> Self {
        let float = |part: &str| read(file, &format!("{name}.{part}"), Kind::Float);
        let ids = |part: &str| read(file, &format!("{name}.{part}"), Kind::Int64);
        let mask = ids("mask");
        let all = float("hidden");
        let rows = mask.flatten(0, 1).nonzero().squeeze_dim(1);
        Self {
            hidden: all.flatten(0, 1).index_select(0, &rows),
            head: float("head"),
            embedding: float("embedding"),
            inputs: ids("inputs"),
            labels: ids("labels"),
            lengths: Vec::try_from(mask.sum_dim_intlist(1, false, Kind::Int64)).unwrap(),
            all,
        }
    }

    fn states(&self) -> States<'_> {
        States {
            hidden: &self.hidden,
            head: Head::new(&self.head),
            embedding: &self.embedding,
            inputs: &self.inputs,
            labels: &self.labels,
            lengths: &self.lengths,
        }
    }

    fn statistics(&self) -> Statistics {
        let ids = |tensor: &Tensor| -> Vec<Vec<i64>> {
            tensor.split_with_sizes(&self.lengths, 0).iter().map(|ids| Vec::try_from(ids).unwrap()).collect()
        };
        let (inputs, labels) = (ids(&self.inputs), ids(&self.labels));
        let examples = inputs.iter().zip(&labels).enumerate().map(|(i, (inputs, labels))| Example {
            inputs,
            labels,
            positions: self.all.size()[1],
            hidden: Moments::of(&self.all.get(i as i64)),
        });
        Statistics::of(&self.embedding, examples)
    }
}

#[test]
fn values_and_gradients_are_those_of_pytorch() {
    let file = Checkpoint::open_file(&path()).unwrap();
    let (divergence, temperature, rate) = (Divergence::ForwardKl, 2.0, 0.5);
    let vanilla = Algorithm::Vanilla { divergence, temperature, rate, alignment: None };
    let dual_space = Algorithm::DualSpace { divergence, temperature, rate, projector_lr: 1e-3 };
    for (mode, algorithm, teacher, vocabularies, query, parts) in [
        ("kd", &vanilla, "same", Vocabularies::Same, Query::Absent, 3),
        ("dskd", &dual_space, "same", Vocabularies::Same, Query::Absent, 6),
        ("cma", &dual_space, "other", Vocabularies::Different, Query::Projected, 6),
    ] {
        let mut student = Side::read(&file, "student");
        student.head = student.head.set_requires_grad(true);
        let teacher = Side::read(&file, teacher);
        let mut objective = Objective::new(algorithm, vocabularies, WIDTHS, Seed(1), Device::Cpu).unwrap();
        if let Some(projectors) = objective.projectors_mut() {
            *projectors = Projectors::load(&path(), WIDTHS, query, Device::Cpu).unwrap();
        }
        let normaliser = student.labels.size()[0] as f64;
        let statistics = objective.needs_statistics().then(|| teacher.statistics());
        let backward =
            objective.backward(&student.states(), &teacher.states(), statistics.as_ref(), normaliser).unwrap();
        let entries = backward.parts.entries();
        assert_eq!(entries.len(), parts, "{mode}");
        for (name, got) in entries {
            let expected = f64::try_from(read(&file, &format!("{mode}.parts.{name}"), Kind::Double)).unwrap();
            assert!((got - expected).abs() < 1e-5 * expected.abs(), "{mode} {name}: {got} {expected}");
        }
        let close = |name: &str, got: &Tensor| {
            let expected = read(&file, &format!("{mode}.gradient.{name}"), Kind::Float);
            let worst = f64::try_from((got - &expected).abs().max()).unwrap();
            assert!(worst < 1e-6, "{mode} {name}: {worst}");
        };
        close("hidden", &backward.hidden_gradient);
        close("head", &student.head.grad());
        for (name, parameter) in objective.projectors().map_or(Vec::new(), Projectors::parameters) {
            close(name, &parameter.grad());
        }
    }
}
