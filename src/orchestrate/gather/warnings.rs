//! Reservations: what stages noted, damage, and energy that led to nothing.

use tutelage_metrics::energy::Joules;

use super::Collecting;
use crate::orchestrate::execute::Lost;
use crate::orchestrate::keep::event::{self, Event};

impl Collecting<'_> {
    pub(super) fn warnings(&self) -> anyhow::Result<Vec<String>> {
        let mut notes = Vec::new();
        for stage in &self.plan.stages {
            notes.extend(self.damage(stage)?.map(|damage| (stage.title(), damage)));
        }
        for stage in self.done()? {
            for event in event::read(&stage.folder(self.store).events_jsonl())? {
                if let Event::Note { text } = event {
                    notes.push((stage.title(), text));
                }
            }
            let lost = Lost::read(&stage.folder(self.store)).joules;
            if lost > Joules(0.0) {
                let hours = 1000.0 * lost.kilowatt_hours();
                let text =
                    format!("attempts that failed or were stopped took {hours:.3} Wh more, which is in no table");
                notes.push((stage.title(), text));
            }
        }
        Ok(self.checked.notes.iter().cloned().chain(merged(notes)).collect())
    }
}

/// Merges what several stages noted in the same words, in the order of the first.
fn merged(notes: Vec<(String, String)>) -> Vec<String> {
    let mut texts: Vec<(String, Vec<String>)> = Vec::new();
    for (title, text) in notes {
        match texts.iter_mut().find(|(known, _)| *known == text) {
            Some((_, titles)) => titles.push(title),
            None => texts.push((text, vec![title])),
        }
    }
    let line = |(text, titles): (String, Vec<String>)| match &titles[1..] {
        [] => format!("{}: {text}", titles[0]),
        [_] => format!("{} and another stage: {text}", titles[0]),
        others => format!("{} and {} other stages: {text}", titles[0], others.len()),
    };
    texts.into_iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_note_of_several_stages_is_one_warning() {
        let note = |title: &str, text: &str| (title.to_owned(), text.to_owned());
        let notes = vec![note("sft a", "2 prompts cut"), note("sft b", "none"), note("generate a", "2 prompts cut")];
        assert_eq!(merged(notes), ["sft a and another stage: 2 prompts cut", "sft b: none"]);
    }
}
