//! How the threads of matrix products wait for each other.

use std::process::Command;

const VARIABLE: &str = "OMP_WAIT_POLICY";

/// Starts this program anew with threads that sleep while they wait, unless the user chose.
///
/// libtorch's OpenMP threads spin by default. On cores that are shared with anything else each then
/// burns the time that another needs: greedy decoding with two threads on two busy cores took 21 to
/// 52 s spinning and 2 to 3 s sleeping (measured). The variable is read when the library is loaded,
/// which is before `main`.
pub fn wait_asleep() {
    #[cfg(unix)]
    if std::env::var_os(VARIABLE).is_none() {
        use std::os::unix::process::CommandExt;
        if let Ok(program) = std::env::current_exe() {
            // Returns only when it cannot start; then this process goes on as it is, only slower.
            let _ = Command::new(program).args(std::env::args_os().skip(1)).env(VARIABLE, "PASSIVE").exec();
        }
    }
}
