//! The importers of data sets, one entry each.

/// Hands the list to the macro `$then`: variant, name in a file (and names that it had), module of
/// `data::import` that reads it, kind of the data, where they come from, and the fields of its rows that
/// `columns` may find elsewhere (none where the format fixes them).
macro_rules! importers {
    ($then:ident) => {
        $then! {
            /// TeleQuAD's extractive files (SQuAD 2.0 with `docid` and per-document titles).
            Telequad("telequad") telequad: QuestionAnswer, File, [];
            /// SQuAD 1.1 and 2.0: the nested file, or one row a question as model hubs export it.
            Squad("squad") squad: QuestionAnswer, File, [];
            /// Rows of questions: `id`, `question`, `answer` or `answers`, optional `context`, `group`,
            /// `is_impossible`.
            Qa("qa", "jsonl") qa: QuestionAnswer, File, [
                "id", "question", "answer", "answers", "answer_start", "context", "group", "is_impossible", "split"
            ];
            /// Rows of conversations: `messages` of `{ role, content }`, as transformers and TRL have them.
            Messages("messages") messages: Chat, File, ["id", "messages", "group", "split"];
            /// Rows of conversations: `conversations` of `{ from, value }`, as ShareGPT has them.
            Sharegpt("sharegpt") sharegpt: Chat, File, ["id", "conversations", "group", "split"];
            /// Texts: rows with `text` or `content`, files .txt and .md, or a folder of all these.
            Text("text") text: Text, FileOrFolder, ["id", "text", "group", "split"];
            /// Rows of questions with `options` (or `choices`), of which `answer` (a letter, an index from 0 or
            /// the text) is one.
            Choice("choice") choice: Choice, File, [
                "id", "question", "options", "answer", "context", "group", "split"
            ];
            /// TeleQnA's own file, out of its archive or in it.
            Teleqna("teleqna") teleqna: Choice, File, [];
            /// The embedded telecom glossary with composed questions.
            Glossary("glossary") glossary: QuestionAnswer, Embedded, [];
        }
    };
}

pub(crate) use importers;
