//! Projectors between the hidden spaces of student (width d) and teacher (width D).

use std::path::Path;

use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use tch::{Device, Kind, Tensor};

use super::DistillError;
use crate::device::Seed;
use crate::models::weights::{Checkpoint, save_file};

/// A linear map with bias, in f32.
#[derive(Debug)]
pub struct Projector {
    /// Weight `[out, in]`.
    pub weight: Tensor,
    /// Bias `[out]`.
    pub bias: Tensor,
}

/// Holds the trained projectors of a dual-space objective.
#[derive(Debug)]
pub struct Projectors {
    /// Teacher to student `[d, D]`.
    pub t2s: Projector,
    /// Student to teacher `[D, d]`.
    pub s2t: Projector,
    /// Student tokens to queries `[2D, 2d]`; only cross-model attention has it.
    pub query: Option<Projector>,
}

/// Hidden widths of student and teacher.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Widths {
    /// d.
    pub student: i64,
    /// D.
    pub teacher: i64,
}

/// Says whether the query projector exists.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Query {
    /// Cross-model attention projects queries.
    Projected,
    /// One vocabulary needs no attention.
    Absent,
}

impl Projector {
    /// Draws weight and bias from `U(-1/sqrt(in), 1/sqrt(in))`, as `torch.nn.Linear` does.
    fn initialise([out, width]: [i64; 2], generator: &mut ChaCha8Rng, device: Device) -> Self {
        let bound = (width as f32).sqrt().recip();
        let mut draw = |shape: &[i64]| {
            let count = shape.iter().product::<i64>();
            let values: Vec<f32> = (0..count).map(|_| generator.random_range(-bound..bound)).collect();
            Tensor::from_slice(&values).view(shape).to_device(device).set_requires_grad(true)
        };
        Self { weight: draw(&[out, width]), bias: draw(&[out]) }
    }

    /// Maps `[tokens, in]` to `[tokens, out]`.
    pub(super) fn forward(&self, x: &Tensor) -> Tensor {
        // The buffer of trained parameters may hold a rounded copy; the product is in f32 all the same.
        x.linear(&self.weight.to_kind(x.kind()), Some(self.bias.to_kind(x.kind())))
    }
}

impl Projectors {
    /// Draws all projectors from one stream of `seed`.
    pub fn initialise(widths: Widths, query: Query, seed: Seed, device: Device) -> Self {
        // A generator of their own: the same weights on every device, and no other stream moves.
        let mut generator = seed.stream("projectors", 0).generator();
        let [t2s, s2t, query] = shapes(widths, query);
        Self {
            t2s: Projector::initialise(t2s, &mut generator, device),
            s2t: Projector::initialise(s2t, &mut generator, device),
            query: (query != [0, 0]).then(|| Projector::initialise(query, &mut generator, device)),
        }
    }

    /// Reads `t2s.weight`, `t2s.bias`, `s2t.*` and `query.*` from a safetensors file; a query
    /// projector that is not asked for may be there and is left out.
    ///
    /// # Errors
    /// When the file is missing or damaged, or a tensor is missing or of another shape.
    pub fn load(path: &Path, widths: Widths, query: Query, device: Device) -> Result<Self, DistillError> {
        let file = Checkpoint::open_file(path)?;
        let tensor = |name: String, expected: &[i64]| {
            let found = file.shape(&name);
            let misfit = |found| DistillError::Projector { name: name.clone(), expected: expected.to_vec(), found };
            if found.as_deref() != Some(expected) {
                return Err(misfit(found));
            }
            let read = file.read(&name, Kind::Float, device)?.ok_or_else(|| misfit(None))?;
            Ok(read.set_requires_grad(true))
        };
        let projector = |name: &str, [out, width]: [i64; 2]| {
            Ok::<_, DistillError>(Projector {
                weight: tensor(format!("{name}.weight"), &[out, width])?,
                bias: tensor(format!("{name}.bias"), &[out])?,
            })
        };
        let [t2s, s2t, query] = shapes(widths, query);
        Ok(Self {
            t2s: projector("t2s", t2s)?,
            s2t: projector("s2t", s2t)?,
            query: if query == [0, 0] { None } else { Some(projector("query", query)?) },
        })
    }

    /// Writes the projectors in the format of [`Self::load`].
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn save(&self, path: &Path) -> Result<(), DistillError> {
        let named = self.parameters().into_iter();
        let tensors: Vec<(String, Tensor)> = named.map(|(name, tensor)| (name.to_owned(), tensor.detach())).collect();
        save_file(path, &tensors.iter().collect::<Vec<_>>())?;
        Ok(())
    }

    /// Lists the parameters by name.
    pub fn parameters(&self) -> Vec<(&'static str, &Tensor)> {
        let mut all = vec![
            ("t2s.weight", &self.t2s.weight),
            ("t2s.bias", &self.t2s.bias),
            ("s2t.weight", &self.s2t.weight),
            ("s2t.bias", &self.s2t.bias),
        ];
        if let Some(query) = &self.query {
            all.extend([("query.weight", &query.weight), ("query.bias", &query.bias)]);
        }
        all
    }

    /// Lists the parameters by name, to be trained or replaced; same order as [`Self::parameters`].
    pub fn parameters_mut(&mut self) -> Vec<(&'static str, &mut Tensor)> {
        let mut all = vec![
            ("t2s.weight", &mut self.t2s.weight),
            ("t2s.bias", &mut self.t2s.bias),
            ("s2t.weight", &mut self.s2t.weight),
            ("s2t.bias", &mut self.s2t.bias),
        ];
        if let Some(query) = &mut self.query {
            all.extend([("query.weight", &mut query.weight), ("query.bias", &mut query.bias)]);
        }
        all
    }
}

/// Returns `[out, in]` of t2s, s2t and query; zeros for a query projector that is absent.
fn shapes(Widths { student, teacher }: Widths, query: Query) -> [[i64; 2]; 3] {
    let query = match query {
        Query::Projected => [2 * teacher, 2 * student],
        Query::Absent => [0, 0],
    };
    [[student, teacher], [teacher, student], query]
}

#[cfg(test)]
mod tests {
    use super::*;

    const WIDTHS: Widths = Widths { student: 3, teacher: 5 };

    #[test]
    fn initial_weights_repeat_and_stay_within_torch_bounds() {
        let new = |seed| Projectors::initialise(WIDTHS, Query::Projected, Seed(seed), Device::Cpu);
        let (one, two, other) = (new(1), new(1), new(2));
        assert!(one.t2s.weight.equal(&two.t2s.weight));
        assert!(!one.t2s.weight.equal(&other.t2s.weight));
        let query = one.query.unwrap();
        assert_eq!(query.weight.size(), [10, 6]);
        assert!(f64::try_from(query.weight.abs().max()).unwrap() <= 6f64.sqrt().recip());
    }

    #[test]
    fn file_reads_back_and_misfits_are_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("projectors.safetensors");
        let written = Projectors::initialise(WIDTHS, Query::Projected, Seed(1), Device::Cpu);
        written.save(&path).unwrap();
        let read = Projectors::load(&path, WIDTHS, Query::Projected, Device::Cpu).unwrap();
        for ((name, a), (_, b)) in written.parameters().into_iter().zip(read.parameters()) {
            assert!(a.equal(b) && b.requires_grad(), "{name}");
        }
        assert!(Projectors::load(&path, WIDTHS, Query::Absent, Device::Cpu).unwrap().query.is_none());
        let wide = Widths { student: 4, teacher: 5 };
        let error = Projectors::load(&path, wide, Query::Absent, Device::Cpu).unwrap_err();
        assert_eq!(error.to_string(), "`t2s.weight` of the projectors has shape [3, 5], expected shape [4, 5]");
    }
}
