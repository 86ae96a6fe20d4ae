//! What a model offers to an objective: its states at response positions.

use tch::{Kind, Tensor};

use super::DistillError;
use crate::models::head::Head;

/// Holds one model's view of a micro-batch at response positions, examples laid end to end.
///
/// A response position is one that predicts a response token or the end of sequence.
#[derive(Debug, Clone, Copy)]
pub struct States<'a> {
    /// Hidden states after the last norm `[n, width]`, detached.
    pub hidden: &'a Tensor,
    /// Output head; a trainable one gets its gradient.
    pub head: Head<'a>,
    /// Input embedding `[vocab, width]`.
    pub embedding: &'a Tensor,
    /// Input ids at those positions `[n]`, int64.
    pub inputs: &'a Tensor,
    /// Ids to predict `[n]`, int64.
    pub labels: &'a Tensor,
    /// Response positions of each example; their sum is n.
    pub lengths: &'a [i64],
}

impl States<'_> {
    /// Returns the number of response positions.
    pub fn tokens(&self) -> i64 {
        self.hidden.size()[0]
    }

    /// Returns the width of the hidden states.
    pub fn width(&self) -> i64 {
        self.head.width()
    }

    /// Returns `(start, length)` of each example's positions.
    pub(super) fn spans(&self) -> Vec<(i64, i64)> {
        let starts = self.lengths.iter().scan(0, |start, &length| {
            let this = *start;
            *start += length;
            Some((this, length))
        });
        starts.collect()
    }

    /// Returns the hidden states in f32, which projections are computed in.
    pub(super) fn hidden_f32(&self) -> Tensor {
        self.hidden.detach().to_kind(Kind::Float)
    }

    fn check(&self) -> Result<(), DistillError> {
        let n: i64 = self.lengths.iter().sum();
        let expect = |name, tensor: &Tensor, expected: &[i64]| {
            let found = tensor.size();
            if found == expected {
                return Ok(());
            }
            Err(DistillError::Shape { name, expected: expected.to_vec(), found })
        };
        if self.head.weight.dim() != 2 {
            return Err(DistillError::Shape { name: "head", expected: vec![-1, -1], found: self.head.weight.size() });
        }
        expect("hidden", self.hidden, &[n, self.width()])?;
        expect("inputs", self.inputs, &[n])?;
        expect("labels", self.labels, &[n])
    }
}

/// Checks that both views fit together as tensors and hold as many examples.
pub(super) fn check(student: &States<'_>, teacher: &States<'_>) -> Result<(), DistillError> {
    student.check()?;
    teacher.check()?;
    let (mine, theirs) = (student.lengths.len(), teacher.lengths.len());
    if mine == theirs { Ok(()) } else { Err(DistillError::Examples { student: mine, teacher: theirs }) }
}

/// Checks that both models saw the same responses, as two models of one vocabulary must: position
/// by position, their distributions are then over the same next token after the same text.
pub(super) fn check_same(student: &States<'_>, teacher: &States<'_>) -> Result<(), DistillError> {
    check(student, teacher)?;
    let pairs = student.lengths.iter().zip(teacher.lengths).enumerate();
    for (example, (&student, &teacher)) in pairs {
        if student != teacher {
            return Err(DistillError::Responses { example, student, teacher });
        }
    }
    if student.labels.equal(teacher.labels) {
        return Ok(());
    }
    let differs = |&(start, n): &(i64, i64)| {
        let response = |labels: &Tensor| labels.narrow(0, start, n);
        !response(student.labels).equal(&response(teacher.labels))
    };
    let example = student.spans().iter().position(differs).unwrap_or_default();
    Err(DistillError::Labels { example })
}

#[cfg(test)]
mod tests {
    use super::*;
    use tch::Device;

    #[test]
    fn misfits_are_named() {
        let float = |size: [i64; 2]| Tensor::zeros(size, (Kind::Float, Device::Cpu));
        let ids = |n: i64| Tensor::zeros([n], (Kind::Int64, Device::Cpu));
        let (hidden, head, three) = (float([3, 4]), float([7, 4]), ids(3));
        let states = |lengths| States {
            hidden: &hidden,
            head: Head::new(&head),
            embedding: &head,
            inputs: &three,
            labels: &three,
            lengths,
        };
        assert!(check_same(&states(&[1, 2]), &states(&[1, 2])).is_ok());
        let message = |result: Result<(), DistillError>| result.unwrap_err().to_string();
        assert_eq!(
            message(check_same(&states(&[1, 2]), &states(&[2, 1]))),
            "response 0 has 1 tokens for the student, 2 for the teacher, expected as many"
        );
        assert_eq!(
            message(check(&states(&[3]), &states(&[1, 2]))),
            "student has 1 examples, teacher 2, expected as many"
        );
        assert_eq!(message(check(&states(&[4]), &states(&[3]))), "`hidden` has shape [3, 4], expected [4, 4]");
        let other = Tensor::from_slice(&[0i64, 0, 1]);
        let misaligned = States { labels: &other, ..states(&[1, 2]) };
        assert_eq!(
            message(check_same(&states(&[1, 2]), &misaligned)),
            "response 1 has other tokens for the teacher than for the student, expected the same"
        );
    }
}
