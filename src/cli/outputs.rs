//! Where a command may write: never over what it reads, and over nothing that it did not write itself.

use std::fs::{self, File, Metadata};
use std::io::{BufRead, BufReader};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use anyhow::bail;
use clap::Args;

use super::table::STDIN;
use crate::files;

/// Whether existing files may be replaced.
#[derive(Debug, Clone, Copy, Args)]
pub struct Force {
    /// Replaces an existing output file even if this command did not write it.
    #[arg(long)]
    pub force: bool,
}

/// Makes sure that a file can be written without loss, before the work whose result it is to hold.
///
/// `flag` names the output, `inputs` are the files and folders that the command reads, each with the
/// flag that names it. `is_ours` tells a file that this command wrote by its content; such a file is
/// replaced without asking, an empty one too.
///
/// # Errors
/// An output that is one of the inputs, also by a link or as a file in a folder, an existing file that
/// is not ours unless `force` says so, or a place that cannot be written to.
pub(super) fn claim(
    flag: &str,
    output: &Path,
    inputs: &[(&str, &Path)],
    force: Force,
    is_ours: impl Fn(&Path) -> bool,
) -> anyhow::Result<()> {
    for (input_flag, input) in inputs {
        // What this command left in a folder is no part of a model.
        if reads(input, output) && !(input.is_dir() && is_ours(output)) {
            bail!(
                "`{}` is read as `{input_flag}` and is not overwritten\nhint: give `{flag}` a file of its own",
                output.display()
            );
        }
    }
    let kept = fs::metadata(output).is_ok_and(|found| found.is_file() && found.len() > 0);
    if kept && !force.force && !is_ours(output) {
        bail!(
            "`{}` exists and is not of this command's making\nhint: give `{flag}` another name, or `--force` to replace the file",
            output.display()
        );
    }
    Ok(files::try_write(output)?)
}

/// Says whether `output` is the file `input` or one of those in the folder `input`.
fn reads(input: &Path, output: &Path) -> bool {
    // Standard input may be a file as well.
    let input = if input == Path::new(STDIN) { Path::new("/dev/stdin") } else { input };
    let Some(written) = fs::metadata(output).ok().filter(Metadata::is_file) else { return false };
    let is_written =
        |path: &Path| fs::metadata(path).is_ok_and(|read| (read.dev(), read.ino()) == (written.dev(), written.ino()));
    if !input.is_dir() {
        return is_written(input);
    }
    let lies_inside = match (input.canonicalize(), output.canonicalize()) {
        (Ok(folder), Ok(file)) => file.starts_with(folder),
        _ => false,
    };
    let mut entries = fs::read_dir(input).into_iter().flatten().flatten();
    lies_inside || entries.any(|entry| is_written(&entry.path()))
}

/// Reads the first line of a file, if it is text.
pub(super) fn first_line(path: &Path) -> Option<String> {
    let mut line = String::new();
    BufReader::new(File::open(path).ok()?).read_line(&mut line).ok()?;
    Some(line)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ASK: Force = Force { force: false };
    const FORCE: Force = Force { force: true };

    #[test]
    fn an_input_is_never_written_however_it_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs::create_dir(at("model")).unwrap();
        files::write(&at("model/weights"), b"w").unwrap();
        files::write(&at("rows"), b"r").unwrap();
        std::os::unix::fs::symlink(at("rows"), at("soft")).unwrap();
        fs::hard_link(at("rows"), at("hard")).unwrap();
        fs::hard_link(at("model/weights"), at("linked")).unwrap();
        std::os::unix::fs::symlink(at("model"), at("alias")).unwrap();
        let (rows, model) = (at("rows"), at("model"));
        let inputs = [("--rows", rows.as_path()), ("--model", model.as_path())];
        let names = ["rows", "soft", "hard", "model/../rows", "model/weights", "alias/weights", "linked"];
        for name in names {
            let error = claim("--out", &at(name), &inputs, FORCE, |_| false).unwrap_err().to_string();
            assert!(error.contains("is not overwritten\nhint: give `--out` a file of its own"), "{name}: {error}");
        }
        claim("--out", &at("new"), &inputs, ASK, |_| false).unwrap();
        claim("--out", &at("model/new"), &inputs, ASK, |_| false).unwrap();
        claim("--out", &at("model/weights"), &inputs, ASK, |_| true).unwrap();
        claim("--out", &at("rows"), &inputs, ASK, |_| true).unwrap_err();
    }

    #[test]
    fn a_file_of_someone_else_is_kept_unless_forced() {
        let folder = tempfile::tempdir().unwrap();
        let (theirs, empty) = (folder.path().join("theirs"), folder.path().join("empty"));
        files::write(&theirs, b"t").unwrap();
        files::write(&empty, b"").unwrap();
        let error = claim("--out", &theirs, &[], ASK, |_| false).unwrap_err().to_string();
        assert!(error.ends_with("hint: give `--out` another name, or `--force` to replace the file"), "{error}");
        claim("--out", &theirs, &[], FORCE, |_| false).unwrap();
        claim("--out", &theirs, &[], ASK, |_| true).unwrap();
        claim("--out", &empty, &[], ASK, |_| false).unwrap();
        claim("--out", Path::new("/dev/null"), &[], ASK, |_| false).unwrap();
    }
}
