//! The embedded typeface of figures and headings: Lato, SIL Open Font License (`fonts/OFL.txt`).

/// Lato Regular.
pub const REGULAR: &[u8] = include_bytes!("../../fonts/Lato-Regular.ttf");
/// Lato Bold.
pub const BOLD: &[u8] = include_bytes!("../../fonts/Lato-Bold.ttf");
/// Family name, as the files give it.
pub const FAMILY: &str = "Lato";
