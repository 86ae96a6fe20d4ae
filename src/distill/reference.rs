//! Tests of all objectives against their definition, which shares no code with them: padded
//! tensors, whole logits, probabilities in f64, autograd.

use std::collections::BTreeMap;

use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use tch::{Device, Kind, Reduction, Tensor};

use super::dual_space::Settings;
use super::projectors::{Query, Widths};
use super::statistics::{Example, Moments};
use super::vanilla::Vanilla;
use super::{Backward, Objective, Parts, Projectors, States, Statistics};
use super::{cross_attention::CrossAttention, dual_space::DualSpace, uld::Uld};
use crate::device::Seed;
use crate::experiment::settings::Divergence;
use crate::models::head::Head;

const FLOAT: (Kind, Device) = (Kind::Float, Device::Cpu);
const DIVERGENCES: [Divergence; 6] = [
    Divergence::ForwardKl,
    Divergence::ReverseKl,
    Divergence::JsDivergence,
    Divergence::SkewedForwardKl,
    Divergence::SkewedReverseKl,
    Divergence::AdaptiveKl,
];

/// Draws numbers of standard deviation 1, from no generator that other tests share.
fn random(generator: &mut ChaCha8Rng, size: [i64; 2]) -> Tensor {
    let bound = 3f32.sqrt();
    let values: Vec<f32> = (0..size[0] * size[1]).map(|_| generator.random_range(-bound..bound)).collect();
    Tensor::from_slice(&values).view(size)
}

/// One model's random side of a batch.
struct Side {
    /// All positions of each example `[positions, width]`.
    hidden: Vec<Tensor>,
    prompts: Vec<i64>,
    lengths: Vec<i64>,
    inputs: Vec<Vec<i64>>,
    labels: Vec<Vec<i64>>,
    head: Tensor,
    embedding: Tensor,
}

impl Side {
    fn random(generator: &mut ChaCha8Rng, prompts: &[i64], lengths: &[i64], [vocab, width]: [i64; 2]) -> Self {
        let hidden = prompts.iter().zip(lengths).map(|(p, n)| random(generator, [p + n, width])).collect();
        // Ids that every vocabulary of these tests has.
        let mut ids = || -> Vec<Vec<i64>> {
            lengths.iter().map(|&n| (0..n).map(|_| generator.random_range(0..17)).collect()).collect()
        };
        let (inputs, labels) = (ids(), ids());
        Self {
            hidden,
            prompts: prompts.to_vec(),
            lengths: lengths.to_vec(),
            inputs,
            labels,
            head: random(generator, [vocab, width]).set_requires_grad(true),
            embedding: random(generator, [vocab, width]) * 0.5 + 0.1,
        }
    }

    fn ids(rows: &[Vec<i64>]) -> Tensor {
        Tensor::from_slice(&rows.concat())
    }

    /// Response positions of examples `from..to`, as an objective sees them.
    fn slices(&self, from: usize, to: usize) -> (Tensor, Tensor, Tensor) {
        let rows: Vec<Tensor> =
            (from..to).map(|i| self.hidden[i].narrow(0, self.prompts[i], self.lengths[i])).collect();
        (Tensor::cat(&rows, 0), Self::ids(&self.inputs[from..to]), Self::ids(&self.labels[from..to]))
    }

    /// `[batch, longest, width]` hidden states, `[batch, longest]` input ids, label ids, mask.
    fn padded(&self) -> (Tensor, Tensor, Tensor, Tensor) {
        let batch = self.hidden.len() as i64;
        let longest = self.hidden.iter().map(|rows| rows.size()[0]).max().unwrap();
        let hidden = Tensor::zeros([batch, longest, self.head.size()[1]], FLOAT);
        let ids = || Tensor::zeros([batch, longest], (Kind::Int64, Device::Cpu));
        let (inputs, labels, mask) = (ids(), ids(), ids());
        for i in 0..self.hidden.len() {
            let (p, n) = (self.prompts[i], self.lengths[i]);
            hidden.get(i as i64).narrow(0, 0, p + n).copy_(&self.hidden[i]);
            inputs.get(i as i64).narrow(0, p, n).copy_(&Tensor::from_slice(&self.inputs[i]));
            labels.get(i as i64).narrow(0, p, n).copy_(&Tensor::from_slice(&self.labels[i]));
            let _ = mask.get(i as i64).narrow(0, p, n).fill_(1);
        }
        (hidden, inputs, labels, mask.to_kind(Kind::Float))
    }

    fn statistics(&self) -> Statistics {
        let examples = (0..self.hidden.len()).map(|i| Example {
            inputs: &self.inputs[i],
            labels: &self.labels[i],
            positions: self.prompts[i] + self.lengths[i],
            hidden: Moments::of(&self.hidden[i]),
        });
        Statistics::of(&self.embedding, examples)
    }

    /// Response rows of a padded gradient.
    fn response(&self, padded: &Tensor) -> Tensor {
        let rows: Vec<Tensor> =
            (0..self.hidden.len()).map(|i| padded.get(i as i64).narrow(0, self.prompts[i], self.lengths[i])).collect();
        Tensor::cat(&rows, 0)
    }
}

/// The definition's value and gradients.
struct Expected {
    parts: Parts,
    hidden: Tensor,
    head: Tensor,
    projectors: Vec<Tensor>,
}

fn number(tensor: &Tensor) -> f64 {
    f64::try_from(tensor.sum(Kind::Double)).unwrap()
}

fn ce(logits: &Tensor, labels: &Tensor, mask: &Tensor) -> Tensor {
    let rows = logits.flatten(0, 1);
    let losses = rows.cross_entropy_loss::<Tensor>(&labels.flatten(0, 1), None, Reduction::None, -100, 0.0);
    (losses * mask.flatten(0, 1)).sum(Kind::Float)
}

/// Divergence of probabilities `[positions, vocab]`, summed over positions.
fn divergence(kind: Divergence, q: &Tensor, p: &Tensor) -> Tensor {
    let by_position = |terms: Tensor| terms.sum_dim_intlist(-1, false, Kind::Double);
    let kl = |a: &Tensor, b: &Tensor| by_position(a * (a / b).log());
    let mix = |share: f64| p * share + q * (1.0 - share);
    let losses = match kind {
        Divergence::ForwardKl => kl(p, q),
        Divergence::ReverseKl => kl(q, p),
        Divergence::JsDivergence => {
            let log = |x: &Tensor| (x + 1e-9).log();
            let m = mix(0.5);
            (by_position(p * (log(p) - log(&m))) + by_position(q * (log(q) - log(&m)))) / 2.0
        }
        Divergence::SkewedForwardKl => kl(p, &mix(0.1)),
        Divergence::SkewedReverseKl => kl(q, &mix(0.9)),
        Divergence::AdaptiveKl => {
            let row = |x: &Tensor, position: i64| Vec::<f64>::try_from(x.detach().get(position)).unwrap();
            let shares: Vec<f64> = (0..p.size()[0]).map(|i| head_share(&row(p, i), &row(q, i))).collect();
            let head = Tensor::from_slice(&shares);
            &head * kl(p, q) + (1.0 - &head) * kl(q, p)
        }
    };
    losses.sum(Kind::Double)
}

/// Share of the head in `sum |p - q|`: of all tokens but the least likely ones with a mass up to 0.5.
fn head_share(p: &[f64], q: &[f64]) -> f64 {
    let mut ascending: Vec<usize> = (0..p.len()).collect();
    ascending.sort_by(|&a, &b| p[a].total_cmp(&p[b]));
    let (mut mass, mut tail, mut head) = (0.0, 0.0, 0.0);
    for token in ascending {
        mass += p[token];
        let gap = (p[token] - q[token]).abs();
        if mass <= 0.5 {
            tail += gap;
        } else {
            head += gap;
        }
    }
    head / (head + tail)
}

/// Divergence between rows of padded logits at positions of `mask`, summed over them.
fn div(kind: Divergence, student: &Tensor, teacher: &Tensor, mask: &Tensor, temperature: f64) -> Tensor {
    let positions = mask.flatten(0, 1).nonzero().squeeze_dim(1);
    let probabilities = |logits: &Tensor| {
        let logits = logits.flatten(0, 1).index_select(0, &positions).to_kind(Kind::Double);
        (logits / temperature).softmax(-1, Kind::Double)
    };
    divergence(kind, &probabilities(student), &probabilities(teacher))
}

/// ULD at one position: what the larger vocabulary has more is compared with zeros.
fn ranked_distance(student: &Tensor, teacher: &Tensor) -> Tensor {
    let ranked = |logits: &Tensor| {
        let probabilities = logits.flatten(0, -1).to_kind(Kind::Double).softmax(-1, Kind::Double);
        let values = Vec::<f64>::try_from(probabilities.detach()).unwrap();
        let mut descending: Vec<i64> = (0..values.len() as i64).collect();
        descending.sort_by(|&a, &b| values[b as usize].total_cmp(&values[a as usize]));
        probabilities.index_select(0, &Tensor::from_slice(&descending))
    };
    let (q, p) = (ranked(student), ranked(teacher));
    let both = q.size()[0].min(p.size()[0]);
    let more = |x: &Tensor| x.narrow(0, both, x.size()[0] - both).sum(Kind::Double);
    (q.narrow(0, 0, both) - p.narrow(0, 0, both)).abs().sum(Kind::Double) + more(&q) + more(&p)
}

/// Computes an objective by its formula on padded tensors.
fn expected(objective: &Objective, student: &Side, teacher: &Side, normaliser: f64) -> Expected {
    let (h, x, y, m) = student.padded();
    let (th, tx, ty, tm) = teacher.padded();
    let h = h.set_requires_grad(true);
    let head = student.head.detach().copy().set_requires_grad(true);
    let (sg_head, teacher_head) = (head.detach(), teacher.head.detach());
    let s = h.matmul(&head.tr());
    let t = th.matmul(&teacher_head.tr());
    let ce_sum = ce(&s, &y, &m);
    let width = head.size()[0].min(teacher_head.size()[0]);
    let leaves: Vec<Tensor> = objective.projectors().map_or(Vec::new(), |projectors| {
        projectors.parameters().iter().map(|(_, p)| p.detach().copy().set_requires_grad(true)).collect()
    });
    let linear = |i: usize, x: &Tensor| x.linear(&leaves[2 * i], Some(&leaves[2 * i + 1]));
    let dual = |settings: &Settings, t2s: Tensor, s2t: Tensor, gated: bool| {
        let (z, w) = (t2s.matmul(&sg_head.tr()), s2t.matmul(&teacher_head.tr()));
        let gate = if gated { z.argmax(-1, false).eq_tensor(&y) * &m } else { m.shallow_clone() };
        let l1 = ce(&z, &y, &m);
        let l2 = div(settings.divergence, &s, &z.detach(), &gate, settings.temperature);
        // Of one vocabulary, logits are cut to the smaller width.
        let cut = |logits: &Tensor| if gated { logits.shallow_clone() } else { logits.narrow(2, 0, width) };
        let l3 = div(Divergence::ForwardKl, &cut(&w), &cut(&t), &tm, settings.temperature);
        (settings.rate, &l1 + &l2 + &l3, Some([l1, l2, l3]))
    };
    let (rate, kd, three) = match objective {
        Objective::Vanilla(o) => {
            let cut = |logits: &Tensor| logits.narrow(2, 0, width);
            (o.rate, div(o.divergence, &cut(&s), &cut(&t), &m, o.temperature), None)
        }
        Objective::Naive(o) => {
            let (mine, theirs) = shared_places(student, teacher);
            let probabilities = |logits: &Tensor, places: &[[i64; 2]]| {
                let rows: Vec<Tensor> = places.iter().map(|&[i, at]| logits.get(i).narrow(0, at, 1)).collect();
                let logits = Tensor::cat(&rows, 0).narrow(1, 0, width).to_kind(Kind::Double);
                (logits / o.temperature).softmax(-1, Kind::Double)
            };
            (o.rate, divergence(o.divergence, &probabilities(&s, &mine), &probabilities(&t, &theirs)), None)
        }
        Objective::Uld(o) => {
            let (mine, theirs) = shared_places(student, teacher);
            let row = |logits: &Tensor, [i, at]: [i64; 2]| logits.get(i).narrow(0, at, 1);
            let distances: Vec<Tensor> =
                mine.iter().zip(&theirs).map(|(&a, &b)| ranked_distance(&row(&s, a), &row(&t, b))).collect();
            (o.rate, Tensor::stack(&distances, 0).sum(Kind::Double), None)
        }
        Objective::DualSpace(o) => dual(&o.settings, linear(0, &th), linear(1, &h), false),
        Objective::CrossAttention(o) => {
            let rows = |table: &Tensor, ids: &Tensor| {
                table.index_select(0, &ids.flatten(0, 1)).view([ids.size()[0], ids.size()[1], -1])
            };
            let es = |ids: &Tensor| rows(&student.embedding, ids);
            let et = |ids: &Tensor| rows(&teacher.embedding, ids);
            let q = linear(2, &Tensor::cat(&[es(&x), es(&y)], -1));
            let k = Tensor::cat(&[et(&tx), et(&ty)], -1);
            let k = &k / k.std(true);
            // The padding's hidden states are not part of the statistics.
            let deviation = Tensor::cat(&teacher.hidden, 0).std(true);
            let v = linear(0, &(&th / deviation + et(&ty) / et(&ty).std(true)));
            let a = q.matmul(&k.transpose(1, 2)) / ((2 * teacher_head.size()[1]) as f64).sqrt();
            let outside: Tensor = (m.unsqueeze(2) * tm.unsqueeze(1) - 1.0) * 1e5;
            let a = a + outside;
            let t2s = a.softmax(-1, Kind::Float).matmul(&v);
            let s2t = a.transpose(1, 2).softmax(-1, Kind::Float).matmul(&linear(1, &h));
            dual(&o.settings, t2s, s2t, true)
        }
    };
    let loss = (&ce_sum * (1.0 - rate) + &kd * rate) / normaliser;
    loss.backward();
    let [t2s_ce, t2s_kd, s2t_kd] = three.map_or([None; 3], |l| l.map(|l| Some(number(&l) / normaliser)));
    let parts = Parts {
        ce: Some(number(&ce_sum) / normaliser),
        kd: Some(number(&kd) / normaliser),
        t2s_ce,
        t2s_kd,
        s2t_kd,
        loss: number(&loss),
    };
    Expected {
        parts,
        hidden: student.response(&h.grad()),
        head: head.grad(),
        projectors: leaves.iter().map(Tensor::grad).collect(),
    }
}

/// `[example, position]` of student and teacher at every place that both responses of an example have.
fn shared_places(student: &Side, teacher: &Side) -> (Vec<[i64; 2]>, Vec<[i64; 2]>) {
    let mut places = (Vec::new(), Vec::new());
    for i in 0..student.lengths.len() {
        for k in 0..student.lengths[i].min(teacher.lengths[i]) {
            places.0.push([i as i64, student.prompts[i] + k]);
            places.1.push([i as i64, teacher.prompts[i] + k]);
        }
    }
    places
}

/// Runs examples `from..to` of a batch through the objective.
fn run(objective: &Objective, student: &Side, teacher: &Side, [from, to]: [usize; 2], normaliser: f64) -> Backward {
    let ((h, x, y), (th, tx, ty)) = (student.slices(from, to), teacher.slices(from, to));
    let mine = States {
        hidden: &h,
        head: Head::new(&student.head),
        embedding: &student.embedding,
        inputs: &x,
        labels: &y,
        lengths: &student.lengths[from..to],
    };
    let teacher_head = teacher.head.detach();
    let theirs = States {
        hidden: &th,
        head: Head::new(&teacher_head),
        embedding: &teacher.embedding,
        inputs: &tx,
        labels: &ty,
        lengths: &teacher.lengths[from..to],
    };
    objective.backward(&mine, &theirs, Some(&teacher.statistics()), normaliser).unwrap()
}

fn reset(objective: &mut Objective, student: &mut Side) {
    student.head.zero_grad();
    if let Some(projectors) = objective.projectors_mut() {
        for (_, parameter) in projectors.parameters_mut() {
            parameter.zero_grad();
        }
    }
}

#[track_caller]
fn close(name: &str, got: &Tensor, expected: &Tensor, vocabulary: i64) {
    // Both sides sum over the vocabulary in f32.
    let tolerance = (1e-9 * vocabulary as f64).max(2e-5);
    let scale = f64::try_from(expected.abs().max()).unwrap().max(1e-3);
    let worst = f64::try_from((got - expected).abs().max()).unwrap() / scale;
    assert!(worst < tolerance, "{name}: {worst}");
}

/// Compares value and all gradients, the batch in one piece and in two.
#[track_caller]
fn compare(mut objective: Objective, mut student: Side, teacher: Side) -> Parts {
    let normaliser = student.lengths.iter().sum::<i64>() as f64;
    let expected = expected(&objective, &student, &teacher, normaliser);
    let (examples, vocabulary) = (student.hidden.len(), student.head.size()[0]);
    for cuts in [vec![0, examples], vec![0, 1, examples]] {
        reset(&mut objective, &mut student);
        let (mut parts, mut hidden) = (BTreeMap::new(), Vec::new());
        for cut in cuts.windows(2).filter(|cut| cut[0] < cut[1]) {
            let backward = run(&objective, &student, &teacher, [cut[0], cut[1]], normaliser);
            for (name, part) in backward.parts.entries() {
                *parts.entry(name).or_insert(0.0) += part;
            }
            hidden.push(backward.hidden_gradient);
        }
        let wanted = BTreeMap::from_iter(expected.parts.entries());
        assert!(parts.keys().eq(wanted.keys()), "{parts:?} {wanted:?}");
        for (name, wanted) in wanted {
            let got = parts[name];
            assert!((got - wanted).abs() < 1e-5 * wanted.abs().max(1.0), "{name}: {got} {wanted}");
        }
        close("hidden", &Tensor::cat(&hidden, 0), &expected.hidden, vocabulary);
        close("head", &student.head.grad(), &expected.head, vocabulary);
        let projectors = objective.projectors().map_or(Vec::new(), Projectors::parameters);
        for ((name, parameter), wanted) in projectors.into_iter().zip(&expected.projectors) {
            close(name, &parameter.grad(), wanted, vocabulary);
        }
    }
    expected.parts
}

/// Prompts, student lengths, teacher lengths of a batch.
type Batch = (&'static [i64], &'static [i64], &'static [i64]);
const BATCHES: [Batch; 3] = [
    (&[3, 1, 2], &[2, 5, 3], &[3, 4, 3]),
    // Every response is one token.
    (&[2, 4], &[1, 1], &[1, 1]),
    (&[1], &[4], &[2]),
];
const WIDTHS: Widths = Widths { student: 6, teacher: 10 };

/// `teacher_vocab` of 23 against a student's 20 means padded columns.
fn sides(generator: &mut ChaCha8Rng, batch: Batch, same: bool, teacher_vocab: i64) -> (Side, Side) {
    sides_of(generator, batch, same, [20, teacher_vocab])
}

fn sides_of(generator: &mut ChaCha8Rng, batch: Batch, same: bool, vocabularies: [i64; 2]) -> (Side, Side) {
    let (prompts, student, teacher) = batch;
    let student_side = Side::random(generator, prompts, student, [vocabularies[0], WIDTHS.student]);
    let lengths = if same { student } else { teacher };
    let mut teacher_side = Side::random(generator, prompts, lengths, [vocabularies[1], WIDTHS.teacher]);
    if same {
        teacher_side.inputs.clone_from(&student_side.inputs);
        teacher_side.labels.clone_from(&student_side.labels);
    }
    (student_side, teacher_side)
}

#[test]
fn vanilla_is_its_formula_for_every_divergence() {
    let mut generator = Seed(1).generator();
    for divergence in DIVERGENCES {
        for batch in BATCHES {
            for teacher_vocab in [20, 23, 18] {
                let (student, teacher) = sides(&mut generator, batch, true, teacher_vocab);
                compare(Objective::Vanilla(Vanilla { divergence, temperature: 2.0, rate: 0.3 }), student, teacher);
            }
        }
    }
}

#[test]
fn naive_and_uld_are_their_formulas() {
    let mut generator = Seed(2).generator();
    for batch in BATCHES {
        for teacher_vocab in [20, 23, 18] {
            let vanilla = Vanilla { divergence: Divergence::ForwardKl, temperature: 2.0, rate: 0.3 };
            let (student, teacher) = sides(&mut generator, batch, false, teacher_vocab);
            compare(Objective::Naive(vanilla), student, teacher);
            let (student, teacher) = sides(&mut generator, batch, false, teacher_vocab);
            compare(Objective::Uld(Uld { rate: 0.3 }), student, teacher);
        }
    }
}

#[test]
fn dual_space_is_its_formula() {
    let mut generator = Seed(3).generator();
    for (i, batch) in BATCHES.into_iter().enumerate() {
        for divergence in DIVERGENCES {
            let settings = Settings { divergence, temperature: 2.0, rate: 0.3 };
            let projectors = || Projectors::initialise(WIDTHS, Query::Absent, Seed(i as u64), Device::Cpu);
            for teacher_vocab in [20, 23, 18] {
                let (student, teacher) = sides(&mut generator, batch, true, teacher_vocab);
                compare(Objective::DualSpace(DualSpace { settings, projectors: projectors() }), student, teacher);
            }
        }
    }
}

/// A teacher with one more token than the student, such as one for padding, teaches the same.
#[test]
fn columns_beyond_the_vocabulary_change_nothing() {
    let divergence = Divergence::ForwardKl;
    let projectors = || Projectors::initialise(WIDTHS, Query::Absent, Seed(7), Device::Cpu);
    let objectives = || {
        let settings = Settings { divergence, temperature: 2.0, rate: 0.3 };
        [
            Objective::Vanilla(Vanilla { divergence, temperature: 2.0, rate: 0.3 }),
            Objective::DualSpace(DualSpace { settings, projectors: projectors() }),
        ]
    };
    let (student, mut teacher) = sides(&mut Seed(8).generator(), BATCHES[0], true, 21);
    let (examples, normaliser) = (student.hidden.len(), 10.0);
    let with = objectives().map(|objective| run(&objective, &student, &teacher, [0, examples], normaliser));
    teacher.head = teacher.head.narrow(0, 0, 20);
    let without = objectives().map(|objective| run(&objective, &student, &teacher, [0, examples], normaliser));
    for (with, without) in with.iter().zip(&without) {
        for ((name, with), (_, without)) in with.parts.entries().into_iter().zip(without.parts.entries()) {
            assert!((with - without).abs() < 1e-6, "{name}: {with} {without}");
        }
        assert!(with.hidden_gradient.allclose(&without.hidden_gradient, 1e-5, 1e-7, false));
    }
}

#[test]
fn cross_attention_is_its_formula() {
    let mut generator = Seed(4).generator();
    let mut followed = 0;
    for (i, batch) in BATCHES.into_iter().enumerate() {
        for divergence in DIVERGENCES {
            let settings = Settings { divergence, temperature: 2.0, rate: 0.3 };
            let projectors = Projectors::initialise(WIDTHS, Query::Projected, Seed(i as u64), Device::Cpu);
            let objective = CrossAttention { settings, projectors };
            let (mut student, teacher) = sides(&mut generator, batch, false, 23);
            // Let the gate open at the first example: its labels are what the teacher's projection predicts.
            student.labels[0] = cross_predictions(&objective, &student, &teacher);
            let parts = compare(Objective::CrossAttention(objective), student, teacher);
            followed += usize::from(parts.t2s_kd.is_some_and(|sum| sum > 0.0));
        }
    }
    // Positions at which the projected teacher is right are not there by chance only.
    assert!(followed > 9, "{followed} of 18");
}

#[test]
fn chunks_and_blocks_leave_no_trace() {
    // 2^17 columns: 64 positions make a chunk, 2 a block; 70 positions are two chunks.
    let batch: Batch = (&[1, 2], &[33, 37], &[30, 40]);
    let (divergence, temperature, rate) = (Divergence::ForwardKl, 2.0, 0.3);
    let settings = Settings { divergence, temperature, rate };
    let mut generator = Seed(5).generator();
    let vocabularies = [1 << 17, 1 << 17];
    let (student, teacher) = sides_of(&mut generator, batch, true, vocabularies);
    let vanilla = Vanilla { divergence, temperature, rate };
    compare(Objective::Vanilla(vanilla), student, teacher);
    let (student, teacher) = sides_of(&mut generator, batch, false, vocabularies);
    compare(Objective::Naive(vanilla), student, teacher);
    let (student, teacher) = sides_of(&mut generator, batch, true, vocabularies);
    let projectors = Projectors::initialise(WIDTHS, Query::Absent, Seed(5), Device::Cpu);
    compare(Objective::DualSpace(DualSpace { settings, projectors }), student, teacher);
    let (student, teacher) = sides_of(&mut generator, batch, false, vocabularies);
    let projectors = Projectors::initialise(WIDTHS, Query::Projected, Seed(5), Device::Cpu);
    compare(Objective::CrossAttention(CrossAttention { settings, projectors }), student, teacher);
}

#[test]
fn a_frozen_head_gets_no_gradient() {
    let mut generator = Seed(6).generator();
    let (mut student, teacher) = sides(&mut generator, BATCHES[0], true, 20);
    student.head = student.head.detach();
    let vanilla = Vanilla { divergence: Divergence::ForwardKl, temperature: 2.0, rate: 0.5 };
    run(&Objective::Vanilla(vanilla), &student, &teacher, [0, 3], 10.0);
    assert!(!student.head.grad().defined());
    assert!(!teacher.head.grad().defined());
}

#[test]
fn bf16_states_and_heads_come_close_to_f32() {
    let mut generator = Seed(7).generator();
    let (mut student, mut teacher) = sides(&mut generator, BATCHES[0], true, 20);
    let (divergence, temperature, rate) = (Divergence::ForwardKl, 2.0, 0.5);
    let settings = Settings { divergence, temperature, rate };
    let projectors = |query| Projectors::initialise(WIDTHS, query, Seed(7), Device::Cpu);
    let objectives = [
        Objective::Vanilla(Vanilla { divergence, temperature, rate }),
        Objective::Naive(Vanilla { divergence, temperature, rate }),
        Objective::Uld(Uld { rate }),
        Objective::DualSpace(DualSpace { settings, projectors: projectors(Query::Absent) }),
        Objective::CrossAttention(CrossAttention { settings, projectors: projectors(Query::Projected) }),
    ];
    let exact: Vec<Backward> = objectives.iter().map(|o| run(o, &student, &teacher, [0, 3], 10.0)).collect();
    for side in [&mut student, &mut teacher] {
        side.head = side.head.detach().to_kind(Kind::BFloat16).set_requires_grad(true);
        side.embedding = side.embedding.to_kind(Kind::BFloat16);
        side.hidden = side.hidden.iter().map(|rows| rows.to_kind(Kind::BFloat16)).collect();
    }
    for (objective, exact) in objectives.iter().zip(exact) {
        student.head.zero_grad();
        let got = run(objective, &student, &teacher, [0, 3], 10.0);
        assert_eq!(got.hidden_gradient.kind(), Kind::BFloat16);
        assert_eq!(student.head.grad().kind(), Kind::BFloat16);
        // bf16 has 8 bits; logits here are of size 10.
        assert!((got.parts.loss - exact.parts.loss).abs() < 0.02 * exact.parts.loss, "{objective:?}");
        let rows = |backward: &Backward| backward.hidden_gradient.to_kind(Kind::Float).flatten(0, 1);
        let direction = Tensor::cosine_similarity(&rows(&got), &rows(&exact), 0, 1e-8);
        assert!(f64::try_from(direction).unwrap() > 0.99, "{objective:?}");
    }
}

/// Labels of the first example that a few rounds of following the projected teacher settle on.
fn cross_predictions(objective: &CrossAttention, student: &Side, teacher: &Side) -> Vec<i64> {
    let mut labels = student.labels[0].clone();
    for _ in 0..20 {
        let t = teacher.statistics();
        let rows = |table: &Tensor, ids: &[i64]| table.index_select(0, &Tensor::from_slice(ids));
        let query = objective.projectors.query.as_ref().unwrap();
        let q = query.forward(&Tensor::cat(
            &[rows(&student.embedding, &student.inputs[0]), rows(&student.embedding, &labels)],
            -1,
        ));
        let k = Tensor::cat(
            &[rows(&teacher.embedding, &teacher.inputs[0]), rows(&teacher.embedding, &teacher.labels[0])],
            -1,
        ) / t.key;
        let h = teacher.hidden[0].narrow(0, teacher.prompts[0], teacher.lengths[0]);
        let v =
            objective.projectors.t2s.forward(&(h / t.hidden + rows(&teacher.embedding, &teacher.labels[0]) / t.label));
        let a = (q.matmul(&k.tr()) / 20f64.sqrt()).softmax(-1, Kind::Float);
        let predicted: Vec<i64> =
            Vec::try_from(a.matmul(&v).matmul(&student.head.detach().tr()).argmax(-1, false)).unwrap();
        if predicted == labels {
            break;
        }
        labels = predicted;
    }
    labels
}
