//! `tutelage tokens`.

use insta::assert_snapshot;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::tutelage;
use crate::fixtures::{copy, fixture};

/// A folder with a tokenizer that has a chat template, and messages.
fn folder() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    copy(&fixture("data/byte-level-bpe"), &folder.path().join("model"));
    let template = "{% for m in messages %}{% if m.role == 'system' %}{{ raise_exception('no rules') }}{% endif %}<s>{{ m.role }}\n{{ m.content | trim }}</s>\n{% endfor %}{% if add_generation_prompt %}<s>assistant\n{% endif %}";
    std::fs::write(folder.path().join("model/chat_template.jinja"), template).unwrap();
    let turn = |role: &str, content: &str| json!({"role": role, "content": content});
    let messages = json!([
        turn("user", "Kein Netz – 5G?"),
        turn("assistant", " Neu "),
        turn("user", "Ja"),
        turn("assistant", "é")
    ]);
    std::fs::write(folder.path().join("chat.json"), messages.to_string()).unwrap();
    let row = json!({"id": "1", "question": "Who pages?", "answers": ["the AMF"], "context": "The AMF pages the UE."});
    std::fs::write(folder.path().join("rows.jsonl"), row.to_string()).unwrap();
    folder
}

#[test]
fn what_the_assistant_says_is_learned_with_its_end() {
    let folder = folder();
    assert_snapshot!(tutelage(folder.path(), &["tokens", "--model", "model", "--messages", "chat.json"]), @r"
    exit 0
    --- stdout
    <s>|u|s|er|
    |K|e|in| N|et|z| |–||| |5|G|?|</s>|
    |<s>|as|s|is|t|an|t|
    [N|e|u|</s>]
    |<s>|u|s|er|
    |J|a|</s>|
    |<s>|as|s|is|t|an|t|
    [é||</s>]


    55 tokens, 7 learned
    --- stderr
    ");
    let json = tutelage(folder.path(), &["tokens", "--model", "model", "--messages", "chat.json", "--format", "json"]);
    let (_, json) = json.split_once("--- stdout\n").unwrap();
    let (json, _) = json.split_once("--- stderr").unwrap();
    let shown: Value = serde_json::from_str(json).unwrap();
    let (ids, loss) = (shown["ids"].as_array().unwrap(), shown["loss"].as_array().unwrap());
    assert_eq!(ids.len(), loss.len());
    // Both answers end with the token that ends a sequence; the line end after it is not learned.
    let learned: Vec<u64> =
        ids.iter().zip(loss).filter(|(_, loss)| loss.as_bool().unwrap()).map(|(id, _)| id.as_u64().unwrap()).collect();
    assert_eq!(learned.iter().filter(|&&id| id == 1).count(), 2);
    assert_eq!((ids.last().unwrap() == &json!(1), learned.last()), (false, Some(&1)));
    assert_eq!(shown["text"].as_str().unwrap().matches("<s>").count(), 4);
}

#[test]
fn a_prompt_and_a_row_are_shown_as_they_are_read() {
    let folder = folder();
    let shown = |arguments: &[&str]| tutelage(folder.path(), &[&["tokens", "--model", "model"], arguments].concat());
    assert_snapshot!(shown(&["--messages", "chat.json", "--add-generation-prompt"]), @r"
    exit 0
    --- stdout
    <s>|u|s|er|
    |K|e|in| N|et|z| |–||| |5|G|?|</s>|
    |<s>|as|s|is|t|an|t|
    |N|e|u|</s>|
    |<s>|u|s|er|
    |J|a|</s>|
    |<s>|as|s|is|t|an|t|
    |é||</s>|
    |<s>|as|s|is|t|an|t|


    63 tokens, 0 learned
    --- stderr
    ");
    assert_snapshot!(shown(&["--data", "rows.jsonl", "--closed-book"]), @r"
    exit 0
    --- stdout
    Q|u|es|t|ion|:| W|h|o| p|a|g|es|?|
    |A|n|s|w|er|:[ the| A|M|F|</s>]

    26 tokens, 5 learned
    --- stderr
    ");
    assert_snapshot!(shown(&["--data", "rows.jsonl", "--max-length", "24"]), @r"
    exit 0
    --- stdout
    es|t|ion|:| W|h|o| p|a|g|es|?|
    |A|n|s|w|er|:[ the| A|M|F|</s>]

    24 tokens, 5 learned
    --- stderr
    ");
}

#[test]
fn what_cannot_be_shown_is_told() {
    let folder = folder();
    let shown = |arguments: &[&str]| tutelage(folder.path(), &[&["tokens", "--model", "model"], arguments].concat());
    assert_snapshot!(shown(&["--data", "rows.jsonl", "--row", "1"]), @r"
    exit 2
    --- stdout
    --- stderr
    error: `rows.jsonl` has 1 usable rows, expected more than `--row` 1
    ");
    assert_snapshot!(shown(&["--data", "rows.jsonl", "--max-length", "3"]), @r"
    exit 2
    --- stdout
    --- stderr
    error: the answer of row 0 is longer than `--max-length` 3: training leaves it out
    ");
    std::fs::write(folder.path().join("chat.json"), "[{\"role\": \"system\", \"content\": \"x\"}]").unwrap();
    assert_snapshot!(shown(&["--messages", "chat.json"]), @r"
    exit 2
    --- stdout
    --- stderr
    error: the chat template refuses these messages: no rules
    hint: most templates want user and assistant in turns, after at most one system message
    ");
    std::fs::write(folder.path().join("chat.json"), "[{\"role\": \"bot\", \"content\": \"x\"}]").unwrap();
    assert_snapshot!(shown(&["--messages", "chat.json"]), @r#"
    exit 2
    --- stdout
    --- stderr
    error: `chat.json`: unknown variant `bot`, expected one of `system`, `user`, `assistant` at line 1 column 15
    hint: expected a list of `{"role": "system", "user" or "assistant", "content": "..."}`
    "#);
    std::fs::write(folder.path().join("chat.json"), "[]").unwrap();
    std::fs::write(folder.path().join("model/chat_template.jinja"), "{% for %}").unwrap();
    assert_snapshot!(shown(&["--messages", "chat.json"]), @r"
    exit 2
    --- stdout
    --- stderr
    error: the chat template cannot be read: unexpected end of block, expected in (line 1)
    hint: compare `chat_template` in the model's files with that of its publisher; it is rendered as Jinja, with the methods of Python's texts, lists and maps
    ");
    std::fs::remove_file(folder.path().join("model/chat_template.jinja")).unwrap();
    assert_snapshot!(shown(&["--messages", "chat.json"]), @r"
    exit 2
    --- stdout
    --- stderr
    error: `model` has no chat template: neither `chat_template.jinja` nor `chat_template` in `tokenizer_config.json`
    hint: a base model has none; its instruction-tuned sibling has one
    ");
    assert_snapshot!(shown(&[]), @r"
    exit 2
    --- stdout
    --- stderr
    error: the following required arguments were not provided:
      --messages <FILE>

    Usage: tutelage tokens --model <DIR> --messages <FILE>

    For more information, try '--help'.
    ");
}
