//! Chat templates, and what a model learns of a conversation.

use serde::Deserialize;
use std::collections::BTreeMap;
use tutelage::data::Turn;
use tutelage::data::chat::{ChatError, ChatTemplate};

use crate::fixtures::fixture;

#[derive(Deserialize)]
struct Templates {
    special: BTreeMap<String, String>,
    templates: BTreeMap<String, String>,
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    template: String,
    messages: Vec<Turn>,
    asks: bool,
    text: Option<String>,
    refused: Option<String>,
}

#[test]
fn templates_are_rendered_as_transformers_renders_them() {
    let file = std::fs::read(fixture("chat/templates.json")).unwrap();
    let Templates { special, templates, cases } = serde_json::from_slice(&file).unwrap();
    let special: Vec<(String, String)> = special.into_iter().collect();
    assert!(cases.len() >= 120);
    for Case { template, messages, asks, text, refused } in cases {
        let rendered = ChatTemplate::new(&templates[&template], special.clone()).unwrap().render(&messages, asks);
        let expected = match (text, refused) {
            (Some(text), None) => Ok(text),
            (None, Some(message)) => Err(ChatError::Refused(message)),
            other => panic!("{other:?}"),
        };
        assert_eq!(rendered, expected, "{template} {messages:?} {asks}");
    }
}
