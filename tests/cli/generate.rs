//! Answers of finished models to prompts.

use std::path::Path;

use insta::assert_snapshot;
use serde_json::Value;

use super::{checkpoint, tutelage, write};

fn generate(at: &Path, more: &[&str]) -> String {
    tutelage(at, &[&["generate", "--model", "model", "--threads", "1", "--max-new-tokens", "12"], more].concat())
}

fn answers(at: &Path, more: &[&str]) -> Vec<Value> {
    let shown = generate(at, &[more, &["--format", "json"]].concat());
    let (status, rest) = shown.split_once("\n--- stdout\n").unwrap();
    assert_eq!(status, "exit 0", "{rest}");
    serde_json::from_str(rest.split_once("--- stderr").unwrap().0).unwrap()
}

#[test]
fn prompts_of_a_file_are_answered_by_both_models_as_each_alone() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    checkpoint(&at.join("model"));
    write(at, "prompts.txt", "What is a cell?\n\nThe terminal\n");
    write(at, "prompts.jsonl", "{\"prompt\": \"What is a cell?\"}\n{\"prompt\": \"The terminal\"}\n");
    let both = answers(at, &["--file", "prompts.txt", "--beside", "model"]);
    assert_eq!(both.len(), 4);
    let prompts: Vec<&str> = both.iter().filter_map(|answer| answer["prompt"].as_str()).collect();
    assert_eq!(prompts, ["What is a cell?", "What is a cell?", "The terminal", "The terminal"]);
    assert_eq!((&both[0], &both[2]), (&both[1], &both[3]));
    assert_eq!(answers(at, &["--file", "prompts.jsonl"]), [both[0].clone(), both[2].clone()]);
    assert_eq!(answers(at, &["--prompt", "What is a cell?", "--prompt", "The terminal"])[1], both[2]);
    // Drawn tokens follow the seed.
    let drawn =
        |seed: &str| answers(at, &["--prompt", "a", "--temperature", "1.5", "--min-p", "0.001", "--seed", seed]);
    assert_eq!(drawn("1"), drawn("1"));
    assert_ne!(drawn("1"), drawn("2"));
    // A text ends an answer, and is none of it.
    let text = both[0]["answer"].as_str().unwrap();
    let stop: String = text.chars().skip(1).take(1).collect();
    let stopped = &answers(at, &["--prompt", "What is a cell?", "--stop", &stop])[0];
    assert_eq!(stopped["answer"].as_str(), text.split(stop.as_str()).next(), "{text:?}");
    assert_eq!(stopped["stopped"], "stop");
}

#[test]
fn what_cannot_be_answered_comes_with_a_remedy() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    checkpoint(&at.join("model"));
    write(at, "none.txt", "\n");
    assert_snapshot!(generate(at, &[]), @r"
    exit 2
    --- stdout
    --- stderr
    error: no prompt is given
    hint: `--prompt TEXT`, `--file PROMPTS`, or start it at a terminal to talk
    ");
    assert_snapshot!(generate(at, &["--file", "none.txt"]), @r"
    exit 2
    --- stdout
    --- stderr
    error: `none.txt` holds no prompt
    ");
    assert_snapshot!(tutelage(at, &["generate", "--model", "model", "--prompt", "a", "--max-new-tokens", "512"]), @r"
    exit 2
    --- stdout
    --- stderr
    error: a prompt of 1 tokens and 512 new ones exceed the 512 positions of `model`
    hint: shorten it, or lower `--max-new-tokens`
    ");
    assert_snapshot!(generate(at, &["--prompt", "a", "--min-p", "2"]), @r"
    exit 2
    --- stdout
    --- stderr
    error: invalid value '2' for '--min-p <P>': a number from 0 to 1 expected, such as 0.05

    For more information, try '--help'.
    ");
}

#[test]
fn a_chat_template_words_what_a_user_says() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    checkpoint(&at.join("model"));
    assert_snapshot!(generate(at, &["--prompt", "a", "--chat"]), @r"
    exit 2
    --- stdout
    --- stderr
    error: `model` has no chat template for `--chat`
    hint: leave it out, or choose a model that was tuned to chat
    ");
    let template = "{% for m in messages %}<s>{{ m.role }} {{ m.content }}</s>{% endfor %}{% if add_generation_prompt %}<s>assistant{% endif %}";
    write(at, "model/chat_template.jinja", template);
    let chat = &answers(at, &["--prompt", "the cell", "--chat"])[0];
    let plain = &answers(at, &["--prompt", "<s>user the cell</s><s>assistant"])[0];
    assert_eq!(chat["answer"], plain["answer"]);
    assert_eq!(chat["prompt"], "the cell");
    assert_ne!(chat["answer"], answers(at, &["--prompt", "the cell"])[0]["answer"]);
}
