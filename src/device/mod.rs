//! Device, number format, threads, seeds and memory readings: the only global state.

mod processor;

use std::path::Path;
use std::sync::{Once, OnceLock};

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rayon::{ThreadPool, ThreadPoolBuilder};
use serde::{Deserialize, Serialize};
use tch::{Cuda, Device, Kind, Tensor};
use tutelage_metrics::energy::nvml;

pub use self::processor::Processor;
use crate::experiment::settings::{self, DeviceChoice, PrecisionChoice};

/// Number format of matrix products. Master weights, losses and statistics are always f32.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Precision {
    /// 32-bit floating point: the reference.
    F32,
    /// bfloat16 products with f32 master weights.
    Bf16,
}

impl Precision {
    /// Returns the name, as in experiment files.
    pub fn name(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::Bf16 => "bf16",
        }
    }

    /// Returns the tensor kind of weights and activations.
    pub fn kind(self) -> Kind {
        match self {
            Self::F32 => Kind::Float,
            Self::Bf16 => Kind::BFloat16,
        }
    }
}

/// Says where tensors live, in which format, and why.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Compute {
    /// Where tensors live.
    pub device: Device,
    /// Number format of matrix products.
    pub precision: Precision,
    /// Why this format was chosen.
    pub reason: &'static str,
}

impl Compute {
    /// Returns the CPU in f32: the reference that tests compare with.
    pub fn reference() -> Self {
        Self { device: Device::Cpu, precision: Precision::F32, reason: "reference" }
    }

    /// Returns the tensor kind of weights and activations.
    pub fn kind(self) -> Kind {
        self.precision.kind()
    }
}

/// A setting that this machine cannot honour.
#[derive(Debug, thiserror::Error)]
pub enum DeviceError {
    /// CUDA was asked for and is not usable.
    #[error("`compute.device` is `cuda`, but no CUDA device is usable: {reason}")]
    NoCuda {
        /// What is missing.
        reason: String,
    },
    /// No thread is left to compute with.
    #[error("0 threads are asked for, expected at least 1")]
    NoThreads,
}

impl DeviceError {
    /// Returns what to do about it.
    #[must_use]
    pub fn hint(&self) -> &'static str {
        match self {
            Self::NoCuda { .. } => {
                "`--set compute.device=auto` computes on the CPU where there is no GPU; `tutelage doctor` says what is missing"
            }
            Self::NoThreads => "leave `compute.threads` out to use all cores",
        }
    }
}

/// Prepares libtorch once per process and resolves device and precision.
///
/// # Errors
/// When CUDA is asked for and no device is usable, and when 0 threads are asked for.
pub fn start(settings: &settings::Compute) -> Result<Compute, DeviceError> {
    static ALLOCATOR: Once = Once::new();
    ALLOCATOR.call_once(keep_freed_memory);
    let threads = settings.threads.unwrap_or_else(cores);
    if threads == 0 {
        return Err(DeviceError::NoThreads);
    }
    tch::set_num_threads(i32::try_from(threads).unwrap_or(i32::MAX));
    let device = match settings.device {
        DeviceChoice::Cpu => Device::Cpu,
        DeviceChoice::Auto if cuda().is_ok() => Device::Cuda(0),
        DeviceChoice::Auto => Device::Cpu,
        DeviceChoice::Cuda => {
            cuda().map_err(|reason| DeviceError::NoCuda { reason })?;
            Device::Cuda(0)
        }
    };
    let (precision, reason) = match settings.precision {
        PrecisionChoice::F32 => (Precision::F32, "asked for"),
        PrecisionChoice::Bf16 => (Precision::Bf16, "asked for"),
        PrecisionChoice::Auto => automatic_precision(device),
    };
    Ok(Compute { device, precision, reason })
}

fn automatic_precision(device: Device) -> (Precision, &'static str) {
    if device.is_cuda() {
        let visible = std::env::var("CUDA_VISIBLE_DEVICES").ok();
        return gpu_precision(nvml::compute_capability(visible.as_deref()));
    }
    Processor::of_this_machine().precision()
}

/// Chooses the number format by a GPU's compute capability (major, minor): bf16 units came with
/// Ampere, 8.0; older cards only emulate them.
fn gpu_precision(capability: Option<(i32, i32)>) -> (Precision, &'static str) {
    match capability {
        Some((..8, _)) => (Precision::F32, "the GPU has no bf16 units"),
        Some(_) => (Precision::Bf16, "the GPU computes bf16"),
        None => (Precision::Bf16, "the GPU is assumed to compute bf16: NVML does not tell"),
    }
}

/// Returns the number of threads that libtorch uses.
pub fn threads() -> usize {
    usize::try_from(tch::get_num_threads()).unwrap_or(1)
}

/// Starts as many threads for loops of our own; none where it is one, or where they cannot be started.
///
/// Each computes libtorch's operations alone: by itself it would start further threads for every one of them.
pub fn pool() -> Option<ThreadPool> {
    let count = tch::get_num_threads();
    let pool = ThreadPoolBuilder::new().num_threads(usize::try_from(count).ok().filter(|&count| count > 1)?);
    let pool = pool.build().ok()?;
    // The number is each thread's own, but that of threads to come is the last one set.
    pool.broadcast(|_| tch::set_num_threads(1));
    tch::set_num_threads(count);
    Some(pool)
}

/// Returns how many of them divide the sums of a stage on `device`, which decides how these are rounded:
/// none on a GPU.
pub fn dividing_threads(device: Device) -> Option<usize> {
    (!device.is_cuda()).then(threads)
}

/// Returns the number of cores that this process may use, as the system counts them.
pub fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// Says whether CUDA is usable, and if not, why.
///
/// Only libtorch_cpu is linked, so that one binary runs everywhere; CUDA's kernels register
/// themselves when their library is loaded.
///
/// # Errors
/// The reason, in words; the same one at every call.
pub fn cuda() -> Result<usize, String> {
    /// Loading is tried once per process.
    static LOADED: OnceLock<Result<(), String>> = OnceLock::new();
    // Linux's own driver, and that of Linux under Windows.
    if !["/dev/nvidiactl", "/dev/dxg"].iter().any(|device| Path::new(device).exists()) {
        return Err("no NVIDIA driver (/dev/nvidiactl is not there)".to_owned());
    }
    LOADED.get_or_init(load_kernels).clone()?;
    match usize::try_from(Cuda::device_count()) {
        Ok(count) if count > 0 => Ok(count),
        _ => Err("the driver reports no device".to_owned()),
    }
}

fn load_kernels() -> Result<(), String> {
    #[expect(unsafe_code, reason = "loading a library runs its initialisers; libtorch's own are meant for it")]
    let loaded = unsafe {
        libloading::os::unix::Library::open(
            Some("libtorch_cuda.so"),
            libloading::os::unix::RTLD_NOW | libloading::os::unix::RTLD_GLOBAL,
        )
    };
    // The kernels stay registered for the life of the process.
    loaded.map(std::mem::forget).map_err(|error| format!("libtorch_cuda.so does not load: {error}"))
}

/// Waits until `device` has finished what was asked of it, so that time and energy read afterwards
/// cover it. The CPU is never behind.
///
/// # Panics
/// When an operation that was under way has failed.
pub fn synchronize(device: Device) {
    if let Device::Cuda(index) = device {
        Cuda::synchronize(i64::try_from(index).unwrap_or(i64::MAX));
    }
}

/// Makes glibc reuse large blocks instead of returning each to the kernel.
///
/// Older releases refuse a threshold above half a heap, 32 MiB; setting the other number alone would
/// then freeze the threshold at its small default.
///
/// A training step frees and takes again the same activations; with the default threshold each
/// block over 32 MiB is mapped and zeroed anew. Measured on a 2-core CPU: SwiGLU forward and
/// backward over [3500, 1376] f32 takes 17 ms instead of 70 ms.
fn keep_freed_memory() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    #[expect(unsafe_code, reason = "mallopt only sets numbers; it is called before tensors exist")]
    unsafe {
        if libc::mallopt(libc::M_MMAP_THRESHOLD, 1 << 30) == 0 {
            libc::mallopt(libc::M_MMAP_THRESHOLD, 32 << 20);
        }
        libc::mallopt(libc::M_TRIM_THRESHOLD, 1 << 30);
    }
}

/// Seeds one stream of random numbers; streams of different names are independent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seed(pub u64);

impl Seed {
    /// Returns the seed of the stream `name`, and of its `index`-th part.
    pub fn stream(self, name: &str, index: u64) -> Self {
        let mut hasher = blake3::Hasher::new();
        hasher.update(&self.0.to_le_bytes()).update(&index.to_le_bytes()).update(name.as_bytes());
        let mut bytes = [0; 8];
        bytes.copy_from_slice(&hasher.finalize().as_bytes()[..8]);
        Self(u64::from_le_bytes(bytes))
    }

    /// Returns a generator for decisions made outside libtorch.
    pub fn generator(self) -> ChaCha8Rng {
        ChaCha8Rng::seed_from_u64(self.0)
    }

    /// Draws independent standard normal numbers in f32, on the CPU.
    ///
    /// Initial weights come from here and not from libtorch, so that a seed means the same model
    /// on every device, with any number of threads and in every version of libtorch.
    pub fn normal(self, shape: &[i64]) -> Tensor {
        let mut generator = self.generator();
        let count = usize::try_from(shape.iter().product::<i64>()).unwrap_or(0);
        let mut values = Vec::with_capacity(count + 1);
        while values.len() < count {
            // Box and Muller 1958: two uniform numbers make two normal ones.
            let radius = (-2.0 * (1.0 - generator.random::<f64>()).ln()).sqrt();
            let (sine, cosine) = (std::f64::consts::TAU * generator.random::<f64>()).sin_cos();
            values.extend([(radius * cosine) as f32, (radius * sine) as f32]);
        }
        Tensor::from_slice(&values[..count]).view(shape)
    }

    /// Draws independent numbers from `-bound..bound` in f32, on the CPU.
    pub fn uniform(self, shape: &[i64], bound: f64) -> Tensor {
        let mut generator = self.generator();
        let count = usize::try_from(shape.iter().product::<i64>()).unwrap_or(0);
        let values: Vec<f32> = (0..count).map(|_| (bound * (2.0 * generator.random::<f64>() - 1.0)) as f32).collect();
        Tensor::from_slice(&values).view(shape)
    }

    /// Seeds libtorch's generators, of which only dropout draws.
    #[expect(clippy::disallowed_methods, reason = "the one place that seeds libtorch")]
    pub fn seed_tensors(self) {
        tch::manual_seed((self.0 >> 1) as i64);
    }
}

/// Returns the most memory this process has held so far, in bytes, if the system tells.
pub fn peak_memory_bytes() -> Option<u64> {
    status_bytes("VmHWM:")
}

/// Returns the memory this process holds now, in bytes, if the system tells.
pub fn resident_memory_bytes() -> Option<u64> {
    status_bytes("VmRSS:")
}

/// Returns the main memory of the machine, on Linux.
pub fn memory_bytes() -> Option<u64> {
    bytes_in(&std::fs::read_to_string("/proc/meminfo").ok()?, "MemTotal:")
}

/// Returns the memory that tensors on `device` have, if the system tells.
pub fn memory_of(device: Device) -> Option<u64> {
    match device {
        Device::Cuda(_) => nvml::memory_total(std::env::var("CUDA_VISIBLE_DEVICES").ok().as_deref()),
        _ => memory_bytes(),
    }
}

fn status_bytes(field: &str) -> Option<u64> {
    bytes_in(&std::fs::read_to_string("/proc/self/status").ok()?, field)
}

/// Reads a field of a file of `/proc` that is given in kB.
fn bytes_in(text: &str, field: &str) -> Option<u64> {
    let kibibytes =
        text.lines().find_map(|line| line.strip_prefix(field))?.trim().trim_end_matches(" kB").parse::<u64>().ok()?;
    Some(kibibytes * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn drawn_numbers_have_their_moments_and_repeat() {
        let normal = Seed(3).normal(&[101, 99]);
        assert!(normal.equal(&Seed(3).normal(&[101, 99])));
        assert!(normal.mean(Kind::Float).double_value(&[]).abs() < 0.03);
        assert!((normal.std(true).double_value(&[]) - 1.0).abs() < 0.03);
        let uniform = Seed(3).uniform(&[9999], 0.5);
        // Variance of a uniform number: (2 bound)^2 / 12.
        assert!((uniform.var(true).double_value(&[]) - 1.0 / 12.0).abs() < 0.003);
        assert!(uniform.abs().max().double_value(&[]) <= 0.5);
    }

    #[test]
    fn bf16_is_chosen_where_the_gpu_has_units_for_it() {
        // A T4, an A100, an H100.
        assert_eq!(gpu_precision(Some((7, 5))), (Precision::F32, "the GPU has no bf16 units"));
        for capability in [(8, 0), (9, 0)] {
            assert_eq!(gpu_precision(Some(capability)), (Precision::Bf16, "the GPU computes bf16"));
        }
        let (precision, reason) = gpu_precision(None);
        assert!(precision == Precision::Bf16 && reason.contains("assumed"), "{reason}");
    }

    #[test]
    fn streams_differ_by_name_and_index_and_repeat() {
        let seed = Seed(10);
        assert_eq!(seed.stream("order", 3), seed.stream("order", 3));
        assert_ne!(seed.stream("order", 3), seed.stream("order", 4));
        assert_ne!(seed.stream("order", 3), seed.stream("dropout", 3));
        assert_ne!(seed.stream("order", 3), Seed(11).stream("order", 3));
    }
}
