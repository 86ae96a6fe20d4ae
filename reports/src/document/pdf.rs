//! The PDF, set by typst from a template and data. Works offline; the same input gives the same
//! bytes, so no date is written.

use serde_json::json;
use typst_as_lib::TypstEngine;
use typst_pdf::PdfOptions;

use super::Pdf;
use super::block::Document;
use super::glyphs::Glyphs;
use super::page::page;
use crate::plots::{Figure, fonts};
use crate::{Error, Result};

const TEMPLATE: &str = include_str!("template.typ");

/// Sets the report with its figures.
///
/// # Errors
/// [`Error::Document`] with what the typesetter said.
pub fn pdf(document: &Document<'_>, figures: &[Figure]) -> Result<Pdf> {
    let fonts = || typst_assets::fonts().chain([fonts::REGULAR, fonts::BOLD]);
    let mut content = page(document);
    let unknown = Glyphs::new(fonts()).spell_out(&mut content);
    if unknown > 0
        && let Some(blocks) = content["blocks"].as_array_mut()
    {
        let text = format!(
            "{unknown} characters that the fonts of this PDF lack are given by their code points, as in [U+4E2D]."
        );
        blocks.push(json!({ "kind": "note", "text": text }));
    }
    let data = serde_json::to_vec(&content).expect("values are JSON");
    let mut files = vec![("data.json".to_owned(), data)];
    for figure in figures {
        files.push((format!("figures/{}.svg", figure.name), figure.svg.clone().into_bytes()));
    }
    let engine = TypstEngine::builder()
        .main_file(TEMPLATE)
        .fonts(fonts())
        .with_static_file_resolver(files.iter().map(|(name, bytes)| (name.as_str(), bytes.clone())))
        .build();
    let document = engine.compile().output.map_err(|error| Error::Document(error.to_string()))?;
    let options = PdfOptions::default();
    let bytes = typst_pdf::pdf(&document, &options).map_err(|errors| {
        let messages: Vec<String> = errors.iter().map(|error| error.message.to_string()).collect();
        Error::Document(messages.join("; "))
    })?;
    Ok(Pdf { pages: document.pages().len(), bytes })
}
