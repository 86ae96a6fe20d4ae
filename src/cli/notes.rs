//! What is told of the models of an experiment though nothing is wrong with it.

use std::collections::BTreeSet;

use super::study::tokenizer;
use crate::data::chat::ChatTemplate;
use crate::data::learned::Learned;
use crate::data::{Role, Tokenizer, Turn};
use crate::experiment::Loaded;
use crate::experiment::settings::{Model, Template};
use crate::models::config::Config;
use crate::orchestrate::plan::hub;

/// Lists what is told of the models that are used and are here.
pub(super) fn notes(loaded: &Loaded) -> Vec<String> {
    let mut notes = uncomputed(loaded);
    notes.extend(ends(loaded));
    notes
}

/// Lists what the files of checkpoints say and nothing computes.
fn uncomputed(loaded: &Loaded) -> Vec<String> {
    let Some(experiment) = &loaded.experiment else { return Vec::new() };
    let used = loaded.design.models();
    let mut notes = Vec::new();
    for (name, model) in experiment.models.iter().filter(|(name, _)| used.contains(name.as_str())) {
        let Model::Checkpoint(checkpoint) = model else { continue };
        let config = hub::locate(checkpoint).and_then(|folder| Config::read(&folder).ok());
        let told = config.into_iter().flat_map(|config| config.notes);
        notes.extend(told.map(|note| format!("`models.{name}`, its `config.json`: {note}")));
    }
    notes
}

/// Lists where the files of one model, or the chat templates of several, disagree on how answers end.
fn ends(loaded: &Loaded) -> Vec<String> {
    let Some(experiment) = &loaded.experiment else { return Vec::new() };
    let chats = experiment.data.values().any(|data| data.template == Template::Chat);
    let (mut notes, mut templates) = (Vec::new(), BTreeSet::new());
    for name in loaded.design.models() {
        let Some(tokenizer) = tokenizer(experiment, name) else { continue };
        if let Some((own, others)) = tokenizer.ends_apart() {
            notes.push(format!(
                "`models.{name}`: its tokenizer ends answers with `{own}`, its model's files with {others}: each of them ends one here"
            ));
        }
        if !chats {
            continue;
        }
        templates.extend(tokenizer.chat_template_source().map(str::to_owned));
        if let Some(closing) = unheard(&tokenizer) {
            notes.push(format!(
                "`models.{name}`: its chat template ends answers with `{closing}`, which is no end in its files: its answers go on after it; name it in `stop`, or in `eos_token_id` of its `generation_config.json`"
            ));
        }
    }
    if templates.len() > 1 {
        let count = templates.len();
        notes.push(format!("models word prompts by {count} different chat templates: each reads and learns its own"));
    }
    notes
}

/// Returns what a chat template writes after an answer, if it is no end of the model.
fn unheard(tokenizer: &Tokenizer) -> Option<String> {
    let template: ChatTemplate = tokenizer.chat_template().ok()??;
    let turn = |role, content: &str| Turn { role, content: content.to_owned() };
    let answered = "Yes";
    let messages = [turn(Role::User, "Is it?"), turn(Role::Assistant, answered)];
    let learned = Learned::of_messages(tokenizer, &template, &messages).ok()?;
    let answer = || learned.ids.iter().zip(&learned.places).zip(&learned.loss).filter(|(_, loss)| **loss);
    if answer().any(|((id, _), _)| tokenizer.ends().contains(id)) {
        return None;
    }
    let start = answer().next()?.0.1.start;
    let closing = learned.text[start..].split_once(answered)?.1.trim();
    (!closing.is_empty()).then(|| closing.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::experiment::settings::TokenizerSource;

    #[test]
    fn a_closing_token_that_is_no_end_is_told() {
        let source = TokenizerSource::ByteLevelBpe { vocabulary: 258, data: None };
        let folder = tempfile::tempdir().unwrap();
        Tokenizer::train(&source, &["a cell".to_owned()]).unwrap().save(folder.path()).unwrap();
        let told = |template: &str| {
            std::fs::write(folder.path().join("chat_template.jinja"), template).unwrap();
            unheard(&Tokenizer::load(folder.path()).unwrap())
        };
        let turns =
            |end: &str| format!("{{% for m in messages %}}{{{{ m.role }}}}: {{{{ m.content }}}}{end}{{% endfor %}}");
        assert_eq!(told(&turns("<|im_end|>\n")).as_deref(), Some("<|im_end|>"));
        assert_eq!(told(&turns("</s>\n")), None);
        assert_eq!(told(&turns("")), None);
    }

    #[test]
    fn ends_of_two_files_are_told_where_they_differ() {
        let source = TokenizerSource::ByteLevelBpe { vocabulary: 258, data: None };
        let folder = tempfile::tempdir().unwrap();
        Tokenizer::train(&source, &["a cell".to_owned()]).unwrap().save(folder.path()).unwrap();
        let apart = |ids: &str| {
            std::fs::write(folder.path().join("config.json"), format!(r#"{{"eos_token_id": {ids}}}"#)).unwrap();
            Tokenizer::load(folder.path()).unwrap().ends_apart()
        };
        assert_eq!(apart("0"), Some(("</s>".to_owned(), "`<s>`".to_owned())));
        assert_eq!(apart("[0, 2]"), Some(("</s>".to_owned(), "`<s>`, `!`".to_owned())));
        assert_eq!((apart("[0, 1]"), apart("null")), (None, None));
    }
}
