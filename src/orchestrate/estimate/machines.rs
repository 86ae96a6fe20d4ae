//! Other machines to plan for: what their makers publish, and the shares of it that a stage is assumed to
//! reach.

use serde::Serialize;

use super::SECONDS_PER_OPERATION;
use crate::device::{Compute, Precision};
use crate::experiment::settings::{self, PrecisionChoice};
use crate::orchestrate::stages::cost::{Cost, Passes};

/// Share of the peak that training reaches: an assumption. Tuned code of large models on many GPUs reaches
/// 0.38 to 0.46 (Chowdhery et al. 2022, arXiv 2204.02311, table 3; Grattafiori et al. 2024,
/// arXiv 2407.21783, table 4); this engine starts operations one by one and fuses few.
pub const TRAINING_SHARE: f64 = 0.3;

/// Share of the peak that a forward pass reaches: an assumption, a little above training, which waits
/// for the optimiser and elementwise gradients, too.
pub const FORWARD_SHARE: f64 = 0.4;

/// Share of the memory's bandwidth that decoding reaches: an assumption.
pub const BANDWIDTH_SHARE: f64 = 0.5;

/// Share of the published power that a stage draws on average: an assumption.
pub const POWER_SHARE: f64 = 0.7;

/// Time to start an operation on a GPU, dispatch included: an assumption. The GPU computes meanwhile.
const SECONDS_PER_START: f64 = 10e-6;

/// Memory of a GPU that CUDA's context, its libraries and the allocator's rounding take: an assumption.
pub(super) const CONTEXT_BYTES: f64 = 1e9;

/// A machine, by its maker's data: dense peaks, without sparsity.
#[derive(Debug, PartialEq, Serialize)]
pub struct Machine {
    /// Name on the command line.
    pub name: &'static str,
    /// What it is.
    pub title: &'static str,
    /// CPU cores; none for a GPU, which stages then compute on.
    pub cores: Option<usize>,
    /// Floating-point operations per second of bf16 products summed in f32.
    pub bf16_flops: f64,
    /// Floating-point operations per second in f32; on a GPU without TF32, which libtorch leaves off.
    pub f32_flops: f64,
    /// Memory that stages compute in.
    pub memory_bytes: f64,
    /// Bytes per second between that memory and the processor.
    pub bandwidth: f64,
    /// Power of the board or processor.
    pub watts: f64,
    /// Where the numbers are from.
    pub source: &'static str,
}

const A100: &str = "NVIDIA A100 Tensor Core GPU data sheet, SXM";

/// The machines that can be planned for.
pub const MACHINES: [Machine; 7] = [
    Machine {
        name: "h100",
        title: "NVIDIA H100 SXM 80 GB",
        cores: None,
        bf16_flops: 989e12,
        f32_flops: 67e12,
        memory_bytes: 80e9,
        bandwidth: 3.35e12,
        watts: 700.0,
        source: "NVIDIA H100 Tensor Core GPU data sheet, SXM; bf16 half of the number with sparsity",
    },
    Machine {
        name: "h200",
        title: "NVIDIA H200 SXM 141 GB",
        cores: None,
        bf16_flops: 989e12,
        f32_flops: 67e12,
        memory_bytes: 141e9,
        bandwidth: 4.8e12,
        watts: 700.0,
        source: "NVIDIA H200 Tensor Core GPU data sheet, SXM; bf16 half of the number with sparsity",
    },
    Machine {
        name: "a100-40gb",
        title: "NVIDIA A100 SXM 40 GB",
        cores: None,
        bf16_flops: 312e12,
        f32_flops: 19.5e12,
        memory_bytes: 40e9,
        bandwidth: 1.555e12,
        watts: 400.0,
        source: A100,
    },
    Machine {
        name: "a100-80gb",
        title: "NVIDIA A100 SXM 80 GB",
        cores: None,
        bf16_flops: 312e12,
        f32_flops: 19.5e12,
        memory_bytes: 80e9,
        bandwidth: 2.039e12,
        watts: 400.0,
        source: A100,
    },
    Machine {
        name: "rtx-4090",
        title: "NVIDIA GeForce RTX 4090 24 GB",
        cores: None,
        bf16_flops: 165.2e12,
        f32_flops: 82.6e12,
        memory_bytes: 24e9,
        bandwidth: 1.008e12,
        watts: 450.0,
        source: "NVIDIA Ada GPU Architecture white paper, appendix A",
    },
    Machine {
        name: "l40s",
        title: "NVIDIA L40S 48 GB",
        cores: None,
        bf16_flops: 362.05e12,
        f32_flops: 91.6e12,
        memory_bytes: 48e9,
        bandwidth: 864e9,
        watts: 350.0,
        source: "NVIDIA L40S data sheet",
    },
    Machine {
        name: "cpu-64",
        title: "a server with one AMD EPYC 9554 (64 cores, Zen 4) and 384 GB",
        cores: Some(64),
        // Zen 4 starts two 256-bit FMAs per cycle: 32 operations in f32; of bf16 pairs, twice as many.
        bf16_flops: 64.0 * 3.1e9 * 64.0,
        f32_flops: 64.0 * 3.1e9 * 32.0,
        memory_bytes: 384e9,
        bandwidth: 460.8e9,
        watts: 360.0,
        source: "AMD EPYC 9554 product page for cores, base clock (3.1 GHz), bandwidth and power; peaks derived \
                 as 64 cores x base clock x 32 operations per cycle in f32, 64 in bf16; memory assumed: \
                 12 modules of 32 GB",
    },
];

impl Machine {
    /// Finds a machine by its name.
    ///
    /// # Errors
    /// An unknown name, with those that there are.
    pub fn named(name: &str) -> Result<&'static Self, String> {
        let found = MACHINES.iter().find(|machine| machine.name == name);
        found.ok_or_else(|| format!("expected one of {}", MACHINES.map(|machine| machine.name).join(", ")))
    }

    /// Says whether stages compute on a GPU.
    #[must_use]
    pub fn is_gpu(&self) -> bool {
        self.cores.is_none()
    }

    /// Returns what stages compute on and in there: bf16 unless the experiment asks for f32.
    #[must_use]
    pub fn compute(&self, settings: &settings::Compute) -> Compute {
        let device = if self.is_gpu() { tch::Device::Cuda(0) } else { tch::Device::Cpu };
        let (precision, reason) = match settings.precision {
            PrecisionChoice::F32 => (Precision::F32, "asked for"),
            PrecisionChoice::Bf16 => (Precision::Bf16, "asked for"),
            PrecisionChoice::Auto => (Precision::Bf16, "what other machines are planned in"),
        };
        Compute { device, precision, reason }
    }

    /// Returns the threads that a stage's sums are divided among there; none on a GPU.
    #[must_use]
    pub fn threads(&self, settings: &settings::Compute) -> Option<usize> {
        self.cores.map(|cores| settings.threads.unwrap_or(cores))
    }

    /// Returns the dense peak in a number format.
    fn peak(&self, precision: Precision) -> f64 {
        match precision {
            Precision::F32 => self.f32_flops,
            Precision::Bf16 => self.bf16_flops,
        }
    }

    /// Estimates the duration of a stage: products by their share of the peak; decoding by that or, if it
    /// takes longer, by the bandwidth for what it reads; then the starts of operations, which a GPU hides
    /// behind its work and a CPU does not.
    #[must_use]
    pub fn seconds(&self, cost: &Cost, precision: Precision) -> Option<f64> {
        let (operations, starts, decoding) = (cost.operations?, cost.starts?, cost.decoding);
        let peak = self.peak(precision);
        let share = match cost.passes {
            Passes::Training => TRAINING_SHARE,
            Passes::Forward => FORWARD_SHARE,
        };
        let products = (operations - decoding.operations) / (peak * share);
        let by_bandwidth = decoding.bytes / (self.bandwidth * BANDWIDTH_SHARE);
        let work = products + by_bandwidth.max(decoding.operations / (peak * FORWARD_SHARE));
        Some(if self.is_gpu() { work.max(starts * SECONDS_PER_START) } else { work + starts * SECONDS_PER_OPERATION })
    }

    /// Says what an estimate for this machine rests on.
    #[must_use]
    pub(super) fn basis(&self, precision: Precision) -> Vec<String> {
        let Self { title, source, .. } = self;
        let percent = |share: f64| format!("{:.0} %", 100.0 * share);
        let starts = match self.is_gpu() {
            true => format!("at least {:.0} us for each operation that is started", 1e6 * SECONDS_PER_START),
            false => format!("{:.0} us for each operation that is started on top", 1e6 * SECONDS_PER_OPERATION),
        };
        let mut basis = vec![
            format!("planned for {title}, one stage at a time in {}, not for this machine", precision.name()),
            format!(
                "peak {:.1} TFLOP/s, {:.0} GB/s, {:.0} W: {source}",
                self.peak(precision) / 1e12,
                self.bandwidth / 1e9,
                self.watts
            ),
            format!(
                "time: {} of the peak in training, {} in forward passes, {} of the bandwidth in decoding, and \
                 {starts}; all assumed, nothing of it measured there; speeds measured on this machine are not \
                 used; scoring and preparing data count as nothing",
                percent(TRAINING_SHARE),
                percent(FORWARD_SHARE),
                percent(BANDWIDTH_SHARE)
            ),
        ];
        let what = if self.is_gpu() { "board, without its host" } else { "processor alone" };
        basis.push(format!("energy: {} (assumed) of {:.0} W, the {what}", percent(POWER_SHARE), self.watts));
        if let Some(cores) = self.cores {
            let share = "fewer `compute.threads` would reach less of the peak";
            basis.push(format!("peak of all {cores} cores; {share}"));
        }
        basis
    }

    /// Returns the power that a stage is assumed to draw, in watts.
    #[must_use]
    pub(super) fn drawn(&self) -> f64 {
        POWER_SHARE * self.watts
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::orchestrate::stages::cost::TokenSteps;

    #[test]
    fn a_second_by_hand_for_each_kind_of_work() {
        let h100 = Machine::named("h100").unwrap();
        let cost = |operations, starts| Cost { operations: Some(operations), starts: Some(starts), ..Cost::default() };
        let close = |machine: &Machine, cost: &Cost, precision, expected: f64| {
            let found = machine.seconds(cost, precision).unwrap();
            assert!((found / expected - 1.0).abs() < 1e-9, "{found} {expected}");
        };
        // 0.3 of 989 TFLOP/s in training, 0.4 in forward passes; of 67 in f32.
        let training = Cost { passes: Passes::Training, ..cost(0.3 * 989e12, 0.0) };
        close(h100, &training, Precision::Bf16, 1.0);
        close(h100, &cost(0.4 * 989e12, 0.0), Precision::Bf16, 1.0);
        close(h100, &cost(0.4 * 67e12, 0.0), Precision::F32, 1.0);
        // Half of 3.35 TB/s in decoding, beside one second of prompts.
        let decoding = TokenSteps { operations: 1e12, bytes: 2.0 * 0.5 * 3.35e12 };
        let decoded = Cost { decoding, ..cost(0.4 * 989e12 + 1e12, 0.0) };
        close(h100, &decoded, Precision::Bf16, 3.0);
        // A GPU starts 100,000 operations per second meanwhile; a CPU computes after each start.
        close(h100, &cost(0.4 * 989e12, 5e5), Precision::Bf16, 5.0);
        let cpu = Machine::named("cpu-64").unwrap();
        close(cpu, &cost(0.4 * cpu.bf16_flops, 1e5), Precision::Bf16, 1.0 + 1.5);
        assert_eq!(h100.seconds(&Cost::default(), Precision::Bf16), None);
    }

    #[test]
    fn an_unknown_machine_is_told_those_that_there_are() {
        let error = Machine::named("h1000").unwrap_err();
        assert_eq!(error, "expected one of h100, h200, a100-40gb, a100-80gb, rtx-4090, l40s, cpu-64");
    }

    #[test]
    fn other_machines_compute_bf16_unless_f32_is_asked_for() {
        let cpu = Machine::named("cpu-64").unwrap();
        let asked = |precision, threads| {
            let settings = settings::Compute { precision, threads, ..settings::Compute::default() };
            (cpu.compute(&settings).precision, cpu.threads(&settings))
        };
        assert_eq!(asked(PrecisionChoice::Auto, None), (Precision::Bf16, Some(64)));
        assert_eq!(asked(PrecisionChoice::F32, Some(8)), (Precision::F32, Some(8)));
    }
}
