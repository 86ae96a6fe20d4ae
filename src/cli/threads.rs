//! How the threads of matrix products wait for each other.

use std::process::Command;

/// Turns of a waiting thread before it sleeps.
const SPINS: &str = "20000";

/// Starts this program anew with threads that soon sleep while they wait, unless the user chose.
///
/// libtorch's OpenMP threads spin for milliseconds by default. On cores that are shared with
/// anything else each then burns the time that another needs: greedy decoding with two threads on
/// two busy cores took 21 to 52 s, and 2 to 3 s with threads that sleep at once. On idle cores those
/// cost a third of the speed of training, which a short spin keeps. How short, on a virtual machine
/// whose host takes a core away now and then: LoRA on two idle cores ran at 1.6 to 3.0 examples/s
/// with 10,000 turns (median 2.4 of 18 runs), at 2.6 to 2.8 with 20,000 (3 runs), and hardly faster
/// with more (2.5 to 3.0); decoding on busy cores took 1.3 to 1.8 s, 1.7 to 8.6 s, and with 100,000
/// had not ended after 9 minutes (all measured). The variables are read when the library is loaded,
/// which is before `main`.
pub fn sleep_soon() {
    #[cfg(unix)]
    if ["OMP_WAIT_POLICY", "GOMP_SPINCOUNT"].iter().all(|name| std::env::var_os(name).is_none()) {
        use std::os::unix::process::CommandExt;
        if let Ok(program) = std::env::current_exe() {
            // Returns only when it cannot start; then this process goes on as it is, only slower.
            let _ = Command::new(program).args(std::env::args_os().skip(1)).env("GOMP_SPINCOUNT", SPINS).exec();
        }
    }
}
