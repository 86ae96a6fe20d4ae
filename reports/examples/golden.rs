//! Renders the made-up study of the tests into a folder, to look at what a report looks like.
//!
//! `cargo run -p tutelage-reports --example golden -- FOLDER [failed|sets]`

#[path = "../tests/golden/mod.rs"]
mod golden;

use std::error::Error;
use std::path::PathBuf;

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let folder = PathBuf::from(arguments.next().ok_or("usage: golden FOLDER [failed|sets]")?);
    let variant = arguments.next();
    let (mut study, mut records) = if variant.as_deref() == Some("sets") { golden::sets() } else { golden::study() };
    if variant.as_deref() == Some("failed") {
        golden::fail_some(&mut study, &mut records);
    }
    tutelage_reports::render(&study, &records, &folder, tutelage_reports::Options::default())?;
    Ok(())
}
