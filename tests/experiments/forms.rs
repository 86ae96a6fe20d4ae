//! What a user reads about lists, tables and signs that are not where or what they should be.

use insta::assert_snapshot;

use super::one_fault;

#[test]
fn a_number_for_a_table() {
    assert_snapshot!(one_fault(&[], &["training=3"]), @r#"
error: `training` should be a table, found the number 3
--> --set training=3
 = help: set one of its keys, such as `--set training.pretrain=...`: `pretrain`, `sft`, `distill`
"#);
    assert_snapshot!(one_fault(&[], &["models=3"]), @r#"
error: `models` should be a table, found the number 3
--> --set models=3
 = help: set its entries by name: `--set models.NAME=...`
"#);
    assert_snapshot!(one_fault(&[], &["factors=all"]), @r#"
error: `factors` should be a table, found the text "all"
--> --set factors=all
 = help: set one factor: `--set 'factors.sft=["none", "both"]'`
"#);
}

#[test]
fn values_without_brackets() {
    assert_snapshot!(one_fault(&[], &["seeds=10,20"]), @r#"
error: `seeds` should be a list, found the text "10,20"
--> --set seeds=10,20
 = help: write `--set 'seeds=[10, 20]'`
"#);
    assert_snapshot!(one_fault(&[], &["evaluation.metrics=bleu,rouge-l"]), @r#"
error: `evaluation.metrics` should be a list, found the text "bleu,rouge-l"
--> --set evaluation.metrics=bleu,rouge-l
 = help: write `--set 'evaluation.metrics=["bleu", "rouge-l"]'`
"#);
    assert_snapshot!(one_fault(&[], &["evaluation.metrics=[bleu,rouge-l]"]), @r#"
error: `[bleu,rouge-l]` is not TOML: string values must be quoted, expected literal string
--> --set evaluation.metrics=[bleu,rouge-l]
 = help: write `--set 'evaluation.metrics=["bleu", "rouge-l"]'`
"#);
    assert_snapshot!(one_fault(&[], &["seeds=10 20"]), @r#"
error: `seeds` should be a list, found the text "10 20"
--> --set seeds=10 20
 = help: write `--set 'seeds=[10, 20]'`
"#);
}

#[test]
fn one_pair_of_brackets_for_two() {
    assert_snapshot!(one_fault(&[("[[hypotheses]]", "[hypotheses]")], &[]), @r#"
error: `hypotheses` should be a list, found a table
  --> study.toml:27:2
   |
27 | [hypotheses]
   |  ^^^^^^^^^^
   |
   = help: write `[[hypotheses]]` with two pairs of brackets, once for each element
"#);
    assert_snapshot!(one_fault(&[("[factors]", "[[factors]]")], &[]), @r#"
error: `factors` should be a table, found a list
  --> study.toml:18:1
   |
18 | [[factors]]
   | ^^^^^^^^^^^
   |
   = help: write `[factors]` with one pair of brackets
"#);
}

#[test]
fn no_tokenizers() {
    assert_snapshot!(one_fault(&[("[tokenizers]\na = { byte-level-bpe = { vocabulary = 512 } }\nb = { unigram = { vocabulary = 512 } }\n", "")], &[]), @r#"
error: the experiment defines no tokenizers, models name `a`, `b`
  --> study.toml:12:31
   |
11 | small.scratch = { tokenizer = "a", hidden = 32, layers = 1, heads = 2, feed-forward = 64 }
   |                               --- here, too
12 | large.scratch = { tokenizer = "a", hidden = 64, layers = 2, heads = 2, feed-forward = 128 }
   |                               ^^^
13 | foreign.scratch = { tokenizer = "b", hidden = 64, layers = 2, heads = 2, feed-forward = 128 }
   |                                 --- here, too
   |
   = help: add `[tokenizers]` with `a = { byte-level-bpe = { vocabulary = 4096 } }`
"#);
    assert_snapshot!(one_fault(&[("b = { unigram = { vocabulary = 512 } }\n", "")], &[]), @r#"
error: no tokenizer is named `b`
  --> study.toml:15:33
   |
15 | foreign.scratch = { tokenizer = "b", hidden = 64, layers = 2, heads = 2, feed-forward = 128 }
   |                                 ^^^
   |
   = help: tokenizers: `a`; or define `[tokenizers.b]`
"#);
}

#[test]
fn no_algorithms() {
    assert_snapshot!(one_fault(&[("[algorithms.kd.vanilla]\ntemperature = 2.0\n", "")], &[]), @r#"
error: the experiment defines no algorithms, the factor `algorithm` names `kd`
  --> study.toml:22:13
   |
22 | algorithm = ["kd"]
   |             ^^^^^^
   |
   = help: define `[algorithms.kd.vanilla]`
"#);
}

#[test]
fn typographic_signs() {
    assert_snapshot!(one_fault(&[("question = \"Does distillation help?\"", "question = “Doesn't distillation help?”")], &[]), @r#"
error: invalid TOML: `“` is a typographic quote
 --> study.toml:2:12
  |
2 | question = “Doesn't distillation help?”
  |            ^
  |
  = help: write `"`
"#);
    assert_snapshot!(one_fault(&[("temperature = 2.0", "temperature = −2.0")], &[]), @r#"
error: invalid TOML: `−` is a typographic dash
  --> study.toml:25:15
   |
25 | temperature = −2.0
   |               ^
   |
   = help: write `-`
"#);
    assert_snapshot!(one_fault(&[("feed-forward = 64", "feed–forward = 64")], &[]), @r#"
error: invalid TOML: `–` is a typographic dash
  --> study.toml:14:76
   |
14 | small.scratch = { tokenizer = "a", hidden = 32, layers = 1, heads = 2, feed–forward = 64 }
   |                                                                            ^
   |
   = help: write `-`
"#);
    assert_snapshot!(one_fault(&[("temperature = 2.0", "temperature\u{a0}= 2.0")], &[]), @r#"
error: invalid TOML: `U+00A0` is a special space
  --> study.toml:25:12
   |
25 | temperature = 2.0
   |            ^
   |
   = help: write a plain space
"#);
    assert_snapshot!(one_fault(&[("importer = \"glossary\"", "importer = “glossary”"), ("name = \"fine-tuning helps\"", "name = “fine-tuning helps”")], &[]), @r#"
error: invalid TOML: `“` is a typographic quote, here and on 1 more line
 --> study.toml:6:12
  |
6 | importer = “glossary”
  |            ^
  |
  = help: write `"`
"#);
    assert_snapshot!(one_fault(&[], &["compute.device=“gpu”"]), @r#"
error: `compute.device` has no choice `“gpu”`
--> --set compute.device=“gpu”
 = help: did you mean `cuda`? choices: `auto`, `cpu`, `cuda`
"#);
}

#[test]
fn words_without_quotes() {
    assert_snapshot!(one_fault(&[("importer = \"glossary\"", "importer = glossary")], &[]), @r#"
error: invalid TOML: string values must be quoted, expected literal string
 --> study.toml:6:12
  |
6 | importer = glossary
  |            ^^^^^^^^
  |
  = help: write text in quotes: `"glossary"`
"#);
    assert_snapshot!(one_fault(&[("importer = \"glossary\"", "importer = \"glossary\"\nclosed-book = True")], &[]), @r#"
error: invalid TOML: invalid boolean, expected `true`
 --> study.toml:7:15
  |
7 | closed-book = True
  |               ^^^^
  |
  = help: write `true`
"#);
    assert_snapshot!(one_fault(&[], &["data.glossary.closed-book=yes"]), @r#"
error: `data.glossary.closed-book` should be `true` or `false`, found the text "yes"
--> --set data.glossary.closed-book=yes
 = help: write `--set data.glossary.closed-book=true`
"#);
}

#[test]
fn signs_that_are_missing_or_too_many() {
    assert_snapshot!(one_fault(&[("seeds = [10]", "seeds [10]")], &[]), @r#"
error: invalid TOML: key with no value, expected `=`
 --> study.toml:3:7
  |
3 | seeds [10]
  |       ^
  |
  = help: write `seeds = [10]`
"#);
    assert_snapshot!(one_fault(&[("seeds = [10]", "seeds: [10]")], &[]), @r#"
error: invalid TOML: key with no value, expected `=`
 --> study.toml:3:8
  |
3 | seeds: [10]
  |        ^
  |
  = help: write `seeds = [10]`
"#);
    assert_snapshot!(one_fault(&[("seeds = [10]", "seeds =")], &[]), @r#"
error: invalid TOML: missing value
 --> study.toml:3:8
  |
3 | seeds =
  |        ^
  |
  = help: write a value after `=`
"#);
    assert_snapshot!(one_fault(&[("seeds = [10]", "seeds = [10];")], &[]), @r#"
error: invalid TOML: unexpected key or value, expected newline, `#`
 --> study.toml:3:13
  |
3 | seeds = [10];
  |             ^
  |
  = help: remove it: the line ends the value
"#);
    assert_snapshot!(one_fault(&[("seeds = [10]", "seeds = [10] // one")], &[]), @r#"
error: invalid TOML: unexpected key or value, expected newline, `#`
 --> study.toml:3:14
  |
3 | seeds = [10] // one
  |              ^
  |
  = help: a comment starts with `#`
"#);
    assert_snapshot!(one_fault(&[("[[hypotheses]]", "[hypotheses]]")], &[]), @r#"
error: invalid TOML: unexpected key or value, expected newline, `#`
  --> study.toml:27:13
   |
27 | [hypotheses]]
   |             ^
   |
   = help: a header has as many brackets at its end as at its start
"#);
    assert_snapshot!(one_fault(&[("[factors]", "factors]")], &[]), @r#"
error: invalid TOML: key with no value, expected `=`
  --> study.toml:18:8
   |
18 | factors]
   |        ^
   |
   = help: the header of a table is `[factors]`
"#);
    assert_snapshot!(one_fault(&[("seeds = [10]", "seeds = [10 20]")], &[]), @r#"
error: invalid TOML: string values must be quoted, expected literal string
 --> study.toml:3:10
  |
3 | seeds = [10 20]
  |          ^^^^^
  |
  = help: write a list: `[10, 20]`
"#);
}

#[test]
fn keys_and_tables_twice() {
    assert_snapshot!(one_fault(&[("seeds = [10]", "seeds = [10]\nseeds = [20]")], &[]), @r#"
error: invalid TOML: duplicate key `seeds`
 --> study.toml:4:1
  |
4 | seeds = [20]
  | ^^^^^
  |
  = help: remove one of them
"#);
    assert_snapshot!(one_fault(&[("[factors]", "[models]\n\n[factors]")], &[]), @r#"
error: invalid TOML: duplicate key `models`
  --> study.toml:18:2
   |
18 | [models]
   |  ^^^^^^
   |
   = help: make one table of the two
"#);
}

#[test]
fn a_windows_path() {
    assert_snapshot!(one_fault(&[("importer = \"glossary\"", "importer = \"glossary\"\npath = \"C:\\data\\qa.json\"")], &[]), @r#"
error: invalid TOML: missing escaped value, expected `b`, `e`, `f`, `n`, `r`, `\`, `"`, `x`, `u`, `U`
 --> study.toml:7:12
  |
7 | path = "C:\data\qa.json"
  |            ^
  |
  = help: in double quotes `\` starts an escape: write `/`, or use single quotes
"#);
}
