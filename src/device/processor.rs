//! What the CPU is, as the system describes it.

use super::Precision;

/// Describes a processor.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Processor {
    /// Name of the model, if the system tells.
    pub name: Option<String>,
    /// Maker, as the processor names itself: `GenuineIntel`, `AuthenticAMD`.
    vendor: String,
    /// Instruction sets by the names of Linux.
    flags: Vec<String>,
    /// Whether the kernel lets a process use the tiles of AMX.
    tiles_are_allowed: bool,
}

impl Processor {
    /// Describes the processor of this machine; nothing is known of it where there is no `/proc`.
    #[must_use]
    pub fn of_this_machine() -> Self {
        let information = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        Self { tiles_are_allowed: tiles_are_allowed(), ..Self::parse(&information) }
    }

    /// Reads the first processor of `/proc/cpuinfo`.
    fn parse(information: &str) -> Self {
        let field = |name: &str| {
            let mut fields = information.lines().filter_map(|line| line.split_once(':'));
            Some(fields.find(|(field, _)| field.trim() == name)?.1.trim())
        };
        Self {
            name: field("model name").map(str::to_owned),
            vendor: field("vendor_id").unwrap_or_default().to_owned(),
            flags: field("flags").unwrap_or_default().split_whitespace().map(str::to_owned).collect(),
            tiles_are_allowed: false,
        }
    }

    fn has(&self, flag: &str) -> bool {
        self.flags.iter().any(|found| found == flag)
    }

    /// Returns the number format that matrix products are fastest in, and why: by what the processor
    /// is, never by a measurement, so that a busy machine computes what an idle one does.
    ///
    /// Measured, products of bf16 against those of f32: 4.4 times as fast with AMX; with AVX-512 BF16
    /// twice on AMD (Zen 5), and on Intel 0.6 times (71 to 78 against 114 to 135 GFLOP/s, a Xeon whose
    /// AMX is switched off). Other processors have not been measured and compute in f32.
    #[must_use]
    pub fn precision(&self) -> (Precision, &'static str) {
        let is_amd = self.vendor == "AuthenticAMD";
        match (self.has("amx_bf16"), self.has("avx512_bf16")) {
            (true, _) if self.tiles_are_allowed => (Precision::Bf16, "the CPU has AMX-BF16"),
            (true, _) => (Precision::F32, "the CPU has AMX-BF16, but the system does not let programs use it"),
            (false, true) if is_amd => (Precision::Bf16, "the CPU, by AMD, has AVX512-BF16"),
            (false, true) => (Precision::F32, "the CPU has AVX512-BF16 without AMX, where bf16 is slower than f32"),
            (false, false) => (Precision::F32, "the CPU has no bf16 instructions that are faster than f32"),
        }
    }
}

/// Asks the kernel for the tiles of AMX, as libtorch does before it uses them: since Linux 5.16 they
/// are granted on request, and older kernels do not keep them for a process at all.
///
/// Linux kernel documentation, "Using XSTATE features in user space applications".
fn tiles_are_allowed() -> bool {
    #[cfg(all(target_os = "linux", target_arch = "x86_64"))]
    {
        const ARCH_REQ_XCOMP_PERM: libc::c_long = 0x1023;
        const XFEATURE_XTILEDATA: libc::c_long = 18;
        #[expect(unsafe_code, reason = "the call takes two numbers and changes what this process may do")]
        let answer = unsafe { libc::syscall(libc::SYS_arch_prctl, ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA) };
        answer == 0
    }
    #[cfg(not(all(target_os = "linux", target_arch = "x86_64")))]
    {
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn processor(vendor: &str, flags: &str, tiles_are_allowed: bool) -> Processor {
        let information = format!(
            "processor\t: 0\nvendor_id\t: {vendor}\nmodel name\t: A: processor\nflags\t\t: fpu {flags} sse\n\n\
             processor\t: 1\nvendor_id\t: another\n"
        );
        Processor { tiles_are_allowed, ..Processor::parse(&information) }
    }

    #[test]
    fn bf16_is_taken_by_what_the_processor_is() {
        let cases = [
            ("GenuineIntel", "avx512_bf16 amx_bf16", true, Precision::Bf16, "AMX-BF16"),
            ("GenuineIntel", "avx512_bf16 amx_bf16", false, Precision::F32, "the system does not let"),
            ("GenuineIntel", "avx512_bf16", true, Precision::F32, "AVX512-BF16 without AMX"),
            ("AuthenticAMD", "avx512_bf16", false, Precision::Bf16, "AMD"),
            ("AuthenticAMD", "avx2", false, Precision::F32, "no bf16 instructions"),
            ("GenuineIntel", "avx512f", true, Precision::F32, "no bf16 instructions"),
            // No flag by the beginning of its name.
            ("AuthenticAMD", "avx512_bf16x", false, Precision::F32, "no bf16 instructions"),
        ];
        for (vendor, flags, allowed, expected, words) in cases {
            let (precision, reason) = processor(vendor, flags, allowed).precision();
            assert_eq!(precision, expected, "{vendor} {flags}");
            assert!(reason.contains(words), "{reason}");
        }
        assert_eq!(processor("", "", false).name.as_deref(), Some("A: processor"));
        assert_eq!(Processor::parse("").precision().0, Precision::F32);
    }
}
