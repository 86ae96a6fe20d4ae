//! What a user reads about faults of meaning.

use std::fs;

use insta::assert_snapshot;

use super::{SOUND, checked, faults};

#[test]
fn the_unedited_experiment_is_sound() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("study.toml");
    fs::write(&path, SOUND).expect("a file");
    let checked = checked(&path, &[]).unwrap_or_else(|faults| panic!("{faults}"));
    assert_eq!(checked.name, "study");
    let names: Vec<&str> = checked.arms.iter().map(|arm| arm.name.as_str()).collect();
    assert_eq!(names, ["none", "both"]);
    let references: Vec<&str> = checked.references.iter().map(|r| r.name.as_str()).collect();
    assert_eq!(references, ["teacher large", "teacher large (sft)", "student small", "student small (sft)"]);
    assert_eq!(checked.notes, ["no factor uses the model `foreign`"]);
}

#[test]
fn an_undefined_level() {
    let edits = [
        ("student = [\"small\"]", "student = [\"smal\"]"),
        ("algorithm = [\"kd\"]", "algorithm = [\"kd\", \"minillm\"]"),
    ];
    assert_snapshot!(faults(&edits, &[]), @r#"
error: no model is named `smal`
  --> study.toml:19:12
   |
19 | student = ["smal"]
   |            ^^^^^^
   |
   = help: did you mean `small`? models: `foreign`, `large`, `small`; or define `[models.smal]`

error: no algorithm is named `minillm`
  --> study.toml:22:20
   |
22 | algorithm = ["kd", "minillm"]
   |                    ^^^^^^^^^
   |
   = help: algorithms: `kd`; or define `[algorithms.minillm]`

2 faults in `study.toml`
"#);
}

#[test]
fn a_missing_path() {
    let edit = (
        "[data.glossary]\nimporter = \"glossary\"\nsplit = { group-by = \"given\" }",
        "[data.own]\nimporter = \"jsonl\"\npath = \"data/own.jsonl\"",
    );
    assert_snapshot!(faults(&[edit], &[]), @r#"
error: no file at `data/own.jsonl`
 --> study.toml:7:8
  |
7 | path = "data/own.jsonl"
  |        ^^^^^^^^^^^^^^^^
  |
  = help: correct it or pass `--set data.own.path=PATH`; a path in a file starts at that file's folder, in `--set` at the current one

1 fault in `study.toml`
"#);
}

#[test]
fn a_path_not_given() {
    let edits = [
        ("[data.glossary]\nimporter = \"glossary\"", "[data.telequad]\nimporter = \"telequad\""),
        ("split = { group-by = \"given\" }", "split = { dev = 0.2 }"),
    ];
    assert_snapshot!(faults(&edits, &[]), @r#"
error: `data.telequad` names no file to import
 --> study.toml:5:7
  |
5 | [data.telequad]
  |       ^^^^^^^^ no `path` here
  |
  = help: add `path = "..."`, or pass `--set data.telequad.path=FILE`

error: the shares of train, dev and test sum to 1.1, not to 1
 --> study.toml:7:1
  |
7 | split = { dev = 0.2 }
  | ^^^^^
  |
  = help: give all three; those left out are 0.8, 0.1 and 0.1

2 faults in `study.toml`
"#);
}

#[test]
fn a_window_centred_on_the_answer_is_a_control_and_has_a_width() {
    let edits = [("split = { group-by = \"given\" }", "split = { group-by = \"given\" }\nwindow-at = \"answer\"")];
    assert_snapshot!(faults(&edits, &[]), @r#"
error: there is no window to centre on the answer
 --> study.toml:8:13
  |
8 | window-at = "answer"
  |             ^^^^^^^^
  |
  = help: add `window = 100`, characters on each side of the answer

1 fault in `study.toml`
"#);
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("study.toml");
    fs::write(&path, SOUND.replace(edits[0].0, &format!("{}\nwindow = 100", edits[0].1))).expect("a file");
    let checked = checked(&path, &[]).unwrap_or_else(|faults| panic!("{faults}"));
    let note = "`data.glossary` centres windows on the gold answer, in dev and test too: a control, because the middle \
                gives it away";
    assert_eq!(checked.notes, [note, "no factor uses the model `foreign`"]);
}

#[test]
fn missing_checkpoints() {
    let edits = [
        (
            "small.scratch = { tokenizer = \"a\", hidden = 32, layers = 1, heads = 2, feed-forward = 64 }",
            "small.checkpoint = \"TinyLlama/TinyLlama-1.1B\"",
        ),
        (
            "foreign.scratch = { tokenizer = \"b\", hidden = 64, layers = 2, heads = 2, feed-forward = 128 }",
            "foreign.checkpoint = \"hf:Mistral-7B\"",
        ),
    ];
    assert_snapshot!(faults(&edits, &[]), @r#"
error: no checkpoint folder at `TinyLlama/TinyLlama-1.1B`
  --> study.toml:14:20
   |
14 | small.checkpoint = "TinyLlama/TinyLlama-1.1B"
   |                    ^^^^^^^^^^^^^^^^^^^^^^^^^^
   |
   = help: for a hub model write `hf:TinyLlama/TinyLlama-1.1B`

error: `hf:Mistral-7B` is no hub name
  --> study.toml:16:22
   |
16 | foreign.checkpoint = "hf:Mistral-7B"
   |                      ^^^^^^^^^^^^^^^
   |
   = help: write `hf:organisation/model`, such as `hf:mistralai/Mistral-7B-v0.1`

2 faults in `study.toml`
"#);
}

#[test]
fn bad_hypotheses() {
    let edits = [
        (
            "better = \"both\", worse = \"none\"",
            "better = \"both\", worse = \"both\", within = { sft = \"none\", techer = \"large\" }",
        ),
        ("metrics = [\"rouge-l\"]", "metrics = [\"bleu\", \"bertscore\"]\nalpha = 5"),
        ("[factors]", "[evaluation]\nmetrics = [\"rouge-l\"]\n\n[factors]"),
    ];
    assert_snapshot!(faults(&edits, &[]), @r#"
    error: `both` is compared with itself
      --> study.toml:32:55
       |
    32 | contrast = { factor = "sft", better = "both", worse = "both", within = { sft = "none", techer = "large" } }
       |                                                       ^^^^^^
       |
       = help: name two levels

    error: `within` fixes `sft`, which is the factor that is compared
      --> study.toml:32:80
       |
    32 | contrast = { factor = "sft", better = "both", worse = "both", within = { sft = "none", techer = "large" } }
       |                                                                                ^^^^^^
       |
       = help: fix other factors only

    error: no factor is named `techer`
      --> study.toml:32:97
       |
    32 | contrast = { factor = "sft", better = "both", worse = "both", within = { sft = "none", techer = "large" } }
       |                                                                                                 ^^^^^^^
       |
       = help: did you mean `teacher`? factors: `student`, `teacher`, `sft`, `algorithm`

    error: `bleu` is tested but not computed
      --> study.toml:33:12
       |
    19 | metrics = ["rouge-l"]
       |           ----------- the metrics that are computed
    ...
    33 | metrics = ["bleu", "bertscore"]
       |            ^^^^^^
       |
       = help: add `bleu` to `evaluation.metrics`

    error: no metric is named `bertscore`
      --> study.toml:33:20
       |
    33 | metrics = ["bleu", "bertscore"]
       |                    ^^^^^^^^^^^
       |
       = help: metrics: `bleu`, `chrf`, `rouge-1`, `rouge-2`, `rouge-l`, `exact-match`, `token-f1`, `cosine`, `nll`, `perplexity`, `bits-per-byte`, `acc`, `acc-norm`

    error: unknown key `alpha` in `hypotheses[0]`
      --> study.toml:34:1
       |
    34 | alpha = 5
       | ^^^^^
       |
       = help: one significance level holds for all claims: write `alpha = 0.05` above the first `[table]`

    error: `alpha` should be above 0 and below 1, found 5
      --> study.toml:34:9
       |
    34 | alpha = 5
       |         ^

    7 faults in `study.toml`
    "#);
}

#[test]
fn vocabularies_that_differ() {
    let edit = ("teacher = [\"large\"]", "teacher = [\"large\", \"foreign\"]");
    assert_snapshot!(faults(&[edit], &[]), @r#"
error: `kd` compares token by token, but the vocabularies of `small` and `foreign` differ
  --> study.toml:24:16
   |
20 | teacher = ["large", "foreign"]
   |                     --------- has another vocabulary
...
24 | [algorithms.kd.vanilla]
   |                ^^^^^^^ no `alignment` here
   |
   = help: add `alignment = "uld"` (sorted distributions), `"min-edit"` (nearest tokens; not available yet) or `"naive"` (ids as they are: a control), or use `dual-space`

1 fault in `study.toml`
"#);
}

#[test]
fn an_alignment_that_is_not_there_yet() {
    let edit = ("temperature = 2.0", "alignment = \"min-edit\"");
    assert_snapshot!(faults(&[edit], &[]), @r#"
error: the alignment `min-edit` is not available yet
  --> study.toml:25:13
   |
25 | alignment = "min-edit"
   |             ^^^^^^^^^^
   |
   = help: choose `uld`, or `naive` as a control

1 fault in `study.toml`
"#);
}

#[test]
fn a_batch_larger_than_the_training_set() {
    assert_snapshot!(faults(&[], &["training.distill.batch=4096"]), @r#"
error: `training.distill.batch` of 4096 is larger than the training set of 2000
--> --set training.distill.batch=4096
 = help: choose at most 2000, or use more data

1 fault in `study.toml`
"#);
}

#[test]
fn a_scratch_model_that_cannot_be_built() {
    let edits = [
        (
            "tokenizer = \"a\", hidden = 32, layers = 1, heads = 2",
            "tokenizer = \"c\", hidden = 33, layers = 0, heads = 2",
        ),
        (
            "hidden = 64, layers = 2, heads = 2, feed-forward = 128",
            "hidden = 60, layers = 2, heads = 4, kv-heads = 3, feed-forward = 128, positions = 256",
        ),
    ];
    assert_snapshot!(faults(&edits, &[]), @r#"
error: no tokenizer is named `c`
  --> study.toml:14:31
   |
14 | small.scratch = { tokenizer = "c", hidden = 33, layers = 0, heads = 2, feed-forward = 64 }
   |                               ^^^
   |
   = help: tokenizers: `a`, `b`; or define `[tokenizers.c]`

error: 2 heads do not divide a width of 33
  --> study.toml:14:45
   |
14 | small.scratch = { tokenizer = "c", hidden = 33, layers = 0, heads = 2, feed-forward = 64 }
   |                                             ^^
   |
   = help: make `hidden` a multiple of `heads`, best `64 * heads`

error: `models.small.scratch.layers` should be at least 1, found 0
  --> study.toml:14:58
   |
14 | small.scratch = { tokenizer = "c", hidden = 33, layers = 0, heads = 2, feed-forward = 64 }
   |                                                          ^

error: a head is 15 wide, which is odd
  --> study.toml:15:45
   |
15 | large.scratch = { tokenizer = "a", hidden = 60, layers = 2, heads = 4, kv-heads = 3, feed-forward = 128, positions = 256 }
   |                                             ^^
   |
   = help: rotary positions turn pairs: make `hidden / heads` even

error: 4 query heads cannot share 3 key and value heads
  --> study.toml:15:83
   |
15 | large.scratch = { tokenizer = "a", hidden = 60, layers = 2, heads = 4, kv-heads = 3, feed-forward = 128, positions = 256 }
   |                                                                                   ^
   |
   = help: make `heads` a multiple of `kv-heads`

error: 256 positions are fewer than the defaults of `training.pretrain.max-length` (512), `training.sft.max-length` (512), `training.distill.max-length` (512)
  --> study.toml:15:118
   |
15 | large.scratch = { tokenizer = "a", hidden = 60, layers = 2, heads = 4, kv-heads = 3, feed-forward = 128, positions = 256 }
   |                                                                                                                      ^^^
   |
   = help: raise it, or set `training.pretrain.max-length`, `training.sft.max-length`, `training.distill.max-length` to at most 256

6 faults in `study.toml`
"#);
}

#[test]
fn sizes_that_overflow_are_told() {
    let edits = [
        ("seeds = [10]", "seeds = [9223372036854775808]"),
        ("byte-level-bpe = { vocabulary = 512 }", "byte-level-bpe = { vocabulary = 9223372036854775807 }"),
        ("hidden = 32, layers = 1", "hidden = 9223372036854775806, layers = 1"),
        ("hidden = 64, layers = 2", "hidden = 65536, layers = 65536"),
    ];
    let overrides =
        ["training.sft.max-length=9000000000", "training.pretrain.batch=9223372036854775807", "compute.threads=100000"];
    let shown = faults(&edits, &overrides);
    for expected in [
        "`seeds[0]` should be a whole number (0 or more), found a number beyond 64 bits with sign",
        "`tokenizers.a.byte-level-bpe.vocabulary` should be at most 1000000",
        "`models.small.scratch.hidden` should be at most 16777216",
        "a model of 1e15 parameters cannot be trained from scratch",
        "`training.sft.max-length` should be at most 16777216",
        "`training.pretrain.batch` should be at most 65536",
        "`compute.threads` should be from 1 to 1024, found 100000",
    ] {
        assert!(shown.contains(expected), "{expected}\n{shown}");
    }
}

#[test]
fn numbers_that_are_none() {
    let settings = ["training.sft.lr=nan", "training.distill.epochs=inf", "algorithms.kd.vanilla.rate=nan"];
    let shown = faults(&[], &settings);
    for expected in [
        "`training.sft.lr` should be a number, found NaN",
        "`training.distill.epochs` should be finite, found inf",
        "`algorithms.kd.vanilla.rate` should be from 0 to 1, found NaN",
    ] {
        assert!(shown.contains(expected), "{expected}\n{shown}");
    }
}

#[test]
fn answers_that_leave_no_room_for_prompts() {
    assert_snapshot!(faults(&[], &["evaluation.max-new-tokens=512"]), @r#"
error: answers of 512 tokens leave no room for prompts in `training.sft.max-length` (512), `training.distill.max-length` (512)
--> --set evaluation.max-new-tokens=512
 = help: lower `evaluation.max-new-tokens`, or raise `training.sft.max-length`, `training.distill.max-length`

1 fault in `study.toml`
"#);
}

#[test]
fn names_that_cannot_stand_in_names_of_arms() {
    let edits = [
        ("small.scratch =", "\"small/none\".scratch ="),
        ("student = [\"small\"]", "student = [\"small/none\"]"),
        ("[algorithms.kd.vanilla]", "[algorithms.\" kd\".vanilla]"),
        ("algorithm = [\"kd\"]", "algorithm = [\" kd\"]"),
    ];
    let shown = faults(&edits, &[]);
    assert!(shown.contains("the name \"small/none\" in `models` holds a `/`"), "{shown}");
    assert!(shown.contains("the name \" kd\" in `algorithms` starts or ends with a space"), "{shown}");
    let edits = [
        ("sft = [\"none\", \"both\"]", "sft = [\"none\"]"),
        ("algorithm = [\"kd\"]", "algorithm = [\"kd\", \"student small\"]"),
        ("[algorithms.kd.vanilla]", "[algorithms.\"student small\".dual-space]\n[algorithms.kd.vanilla]"),
        (
            "\n[[hypotheses]]\nname = \"fine-tuning helps\"\ncontrast = { factor = \"sft\", better = \"both\", worse = \"none\" }\nmetrics = [\"rouge-l\"]\n",
            "",
        ),
    ];
    let shown = faults(&edits, &[]);
    assert!(shown.contains("two results would be named `student small`"), "{shown}");
}

#[test]
fn a_baseline_that_is_no_arm() {
    let edit = ("[[hypotheses]]", "[baseline]\nteacher = \"small\"\nstage = \"sft\"\n\n[[hypotheses]]");
    assert_snapshot!(faults(&[edit], &[]), @r#"
error: the factor `teacher` has no level `small`
  --> study.toml:28:11
   |
20 | teacher = ["large"]
   |           --------- the levels
...
28 | teacher = "small"
   |           ^^^^^^^
   |
   = help: levels: `large`

error: no factor is named `stage`
  --> study.toml:29:9
   |
29 | stage = "sft"
   |         ^^^^^
   |
   = help: factors: `student`, `teacher`, `sft`, `algorithm`

2 faults in `study.toml`
"#);
}

#[test]
fn a_level_that_is_stated_twice_is_one_fault() {
    let edits = [
        ("teacher = [\"large\"]", "teacher = [\"large\", \"large\"]"),
        ("[[hypotheses]]", "[baseline]\nsft = \"none\"\n\n[[hypotheses]]"),
    ];
    let shown = faults(&edits, &[]);
    assert!(shown.contains("`large` appears twice in `factors.teacher`"), "{shown}");
    assert!(shown.contains("1 fault in"), "{shown}");
}

#[test]
fn a_baseline_of_several_arms() {
    let edit = ("[[hypotheses]]", "[baseline]\nteacher = \"large\"\n\n[[hypotheses]]");
    assert_snapshot!(faults(&[edit], &[]), @r#"
error: the baseline should be one arm, found 2
  --> study.toml:27:2
   |
27 | [baseline]
   |  ^^^^^^^^
   |
   = help: name a level of `sft`

1 fault in `study.toml`
"#);
}

#[test]
fn a_value_that_cannot_be_read_makes_no_other_one_wrong() {
    let unread = "tokenizers.b={ byte-level-bpe = { vocabulary = \"512\" } }";
    for (wrong, overrides) in [
        ("training.sft.batch", ["training.sft.batch=\"32\"", "training.sft.accumulation=8"]),
        ("training.sft.max-length", ["training.sft.max-length=\"512\"", "training.sft.max-prompt=256"]),
        ("training.sft.lr", ["training.sft.lr=\"9\"", "training.sft.schedule.linear.floor=2"]),
        ("models.small.scratch.positions", ["models.small.scratch.positions=\"2048\"", "training.sft.max-length=512"]),
        ("seeds[0]", ["seeds=[\"x\", 1]", "compute.threads=1"]),
        ("factors.sft[0]", ["factors.sft=[\"pretrained\", \"none\"]", "hypotheses=[]"]),
        ("data.glossary.importer", ["data.glossary.importer=wikipedia", "data.glossary.split.group-by=given"]),
        ("tokenizers.b.byte-level-bpe.vocabulary", [unread, "factors.teacher=[\"foreign\"]"]),
    ] {
        let shown = faults(&[], &overrides);
        assert!(shown.starts_with(&format!("error: `{wrong}` ")), "{shown}");
        assert!(shown.contains("1 fault in"), "{shown}");
    }
    // A name is one all the same, and another one is missing.
    let shown = faults(&[], &[unread, "models.foreign.scratch.tokenizer=c"]);
    assert!(shown.contains("no tokenizer is named `c`") && shown.contains("2 faults in"), "{shown}");
}

#[test]
fn numbers_out_of_range() {
    let settings = "[tuning.lora]
rank = 0
alpha = -8
dropout = 1.0
target-modules = [\"q_proj\", \"qproj\", \"q_proj\"]

[training.sft]
epochs = 0
batch = 8
accumulation = 16
schedule = { cosine = { warmup = 1.0, floor = 0.1 } }
clip = 0
max-length = 4096
max-prompt = 4096

[evaluation]
batch = 0
metrics = []
decoding = { sample = { temperature = 0, top-p = 1.5 } }

[energy]
pue = 0.5

[[hypotheses]]";
    assert_snapshot!(faults(&[("[[hypotheses]]", settings)], &[]), @r#"
error: `tuning.lora.rank` should be at least 1, found 0
  --> study.toml:28:8
   |
28 | rank = 0
   |        ^

error: `tuning.lora.alpha` should be above 0, found -8
  --> study.toml:29:9
   |
29 | alpha = -8
   |         ^^
   |
   = help: the update is scaled by `alpha / rank`: 0.01 to 4 are usual

error: `tuning.lora.dropout` should be from 0 to below 1, found 1
  --> study.toml:30:11
   |
30 | dropout = 1.0
   |           ^^^

error: no module is named `qproj`
  --> study.toml:31:29
   |
31 | target-modules = ["q_proj", "qproj", "q_proj"]
   |                             ^^^^^^^
   |
   = help: did you mean `q_proj`? modules: `q_proj`, `k_proj`, `v_proj`, `o_proj`, `gate_proj`, `up_proj`, `down_proj`, `qkv_proj`, `gate_up_proj`, `dense`, `fc1`, `fc2`, `c_attn`, `c_fc`, `c_proj`, `attention-qv`, `attention`, `mlp`, `all-linear`

error: `q_proj` appears twice in `tuning.lora.target-modules`
  --> study.toml:31:38
   |
31 | target-modules = ["q_proj", "qproj", "q_proj"]
   |                                      ^^^^^^^^
   |
   = help: remove one of them

error: `training.sft.epochs` should be above 0, found 0
  --> study.toml:34:10
   |
34 | epochs = 0
   |          ^
   |
   = help: one epoch shows every example once, a part of one fewer

error: a batch of 8 cannot be computed in 16 parts
  --> study.toml:36:16
   |
36 | accumulation = 16
   |                ^^
   |
   = help: choose at most 8

error: `training.sft.schedule.cosine.warmup` should be a share of all steps, from 0 to below 1, found 1
  --> study.toml:37:34
   |
37 | schedule = { cosine = { warmup = 1.0, floor = 0.1 } }
   |                                  ^^^
   |
   = help: 0.05 is 5 %

error: `training.sft.schedule.cosine.floor` should be from 0 to the peak of 0.001, found 0.1
  --> study.toml:37:47
   |
37 | schedule = { cosine = { warmup = 1.0, floor = 0.1 } }
   |                                               ^^^
   |
   = help: the learning rate falls from `lr` to it

error: `training.sft.clip` should be above 0, found 0
  --> study.toml:38:8
   |
38 | clip = 0
   |        ^
   |
   = help: gradients are scaled down to this norm: 1 is usual, `inf` is none

error: 4096 tokens exceed the positions of `large` (2048), `small` (2048)
  --> study.toml:39:14
   |
39 | max-length = 4096
   |              ^^^^
   |
   = help: choose at most 2048, or give these models more `positions`

error: a prompt of 4096 tokens leaves no room in 4096
  --> study.toml:40:14
   |
40 | max-prompt = 4096
   |              ^^^^
   |
   = help: make `max-prompt` smaller than `max-length`

error: `evaluation.batch` should be at least 1, found 0
  --> study.toml:43:9
   |
43 | batch = 0
   |         ^

error: no metric is asked for
  --> study.toml:44:11
   |
44 | metrics = []
   |           ^^
   |
   = help: metrics: `bleu`, `chrf`, `rouge-1`, `rouge-2`, `rouge-l`, `exact-match`, `token-f1`, `cosine`, `nll`, `perplexity`, `bits-per-byte`

error: `evaluation.decoding.sample.temperature` should be above 0, found 0
  --> study.toml:45:39
   |
45 | decoding = { sample = { temperature = 0, top-p = 1.5 } }
   |                                       ^
   |
   = help: logits are divided by it: below, one token takes all probability; above, all tokens are alike

error: `evaluation.decoding.sample.top-p` should be above 0, at most 1, found 1.5
  --> study.toml:45:50
   |
45 | decoding = { sample = { temperature = 0, top-p = 1.5 } }
   |                                                  ^^^

error: `energy.pue` should be from 1 to 10, found 0.5
  --> study.toml:48:7
   |
48 | pue = 0.5
   |       ^^^
   |
   = help: the energy of a site over that of its computers: 1.1 to 2 are usual

error: `rouge-l` is tested but not computed
  --> study.toml:53:12
   |
44 | metrics = []
   |           -- the metrics that are computed
...
53 | metrics = ["rouge-l"]
   |            ^^^^^^^^^
   |
   = help: add `rouge-l` to `evaluation.metrics`

18 faults in `study.toml`
"#);
}

#[test]
fn a_stage_that_no_arm_has_sets_no_bounds() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("study.toml");
    let text = SOUND.replace("sft = [\"none\", \"both\"]", "sft = [\"none\"]");
    let (text, _) = text.split_once("[[hypotheses]]").expect("hypotheses");
    let text = text.replace("feed-forward = 64 }", "feed-forward = 64, positions = 128 }");
    let lengths = "[training]\npretrain.max-length = 128\ndistill = { max-length = 128, batch = 2000 }";
    fs::write(&path, format!("{text}\n{lengths}")).expect("a file");
    checked(&path, &["evaluation.max-new-tokens=100"]).unwrap_or_else(|faults| panic!("{faults}"));
    // With an arm that has it, its defaults count.
    let faults = checked(&path, &["factors.sft=[\"none\", \"student\"]"]).expect_err("too few positions");
    let shown = faults.to_string();
    assert!(shown.contains("128 positions are fewer than the default of `training.sft.max-length` (512)"), "{shown}");
    assert_eq!(faults.len(), 1, "{shown}");
    let faults = checked(&path, &["evaluation.max-new-tokens=128"]).expect_err("no room").to_string();
    assert!(faults.contains("no room for prompts in `training.distill.max-length` (128)"), "{faults}");
}

#[test]
fn what_no_factor_uses_needs_no_files() {
    let foreign = "foreign.scratch = { tokenizer = \"b\", hidden = 64, layers = 2, heads = 2, feed-forward = 128 }";
    let text = SOUND
        .replace("b = { unigram = { vocabulary = 512 } }", "b = { file = { path = \"nowhere\" } }")
        .replace(foreign, &format!("{foreign}\nother.checkpoint = \"nowhere\""));
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("study.toml");
    fs::write(&path, text).expect("a file");
    let checked_ = checked(&path, &[]).unwrap_or_else(|faults| panic!("{faults}"));
    assert_eq!(checked_.notes, ["no factor uses the model `foreign`", "no factor uses the model `other`"]);
    let faults = checked(&path, &["factors.teacher=[\"other\", \"foreign\"]"]).expect_err("no files").to_string();
    assert!(faults.contains("no checkpoint folder at") && faults.contains("no `tokenizer.json` at"), "{faults}");
}

#[test]
fn decoding_out_of_range() {
    let settings = "[evaluation.decoding.sample]
min-p = 1.5
repetition-penalty = 0
no-repeat-ngram = 0
stop = [\"\\n\", \"\"]

[[hypotheses]]";
    assert_snapshot!(faults(&[("[[hypotheses]]", settings)], &[]), @r#"
error: `evaluation.decoding.sample.min-p` should be from 0 to 1, found 1.5
  --> study.toml:28:9
   |
28 | min-p = 1.5
   |         ^^^
   |
   = help: tokens less probable than this times the most probable one are not drawn: 0.05 to 0.1 are usual

error: `evaluation.decoding.sample.repetition-penalty` should be above 0, found 0
  --> study.toml:29:22
   |
29 | repetition-penalty = 0
   |                      ^
   |
   = help: positive logits of tokens that were there are divided by it: 1 changes nothing, 1.1 to 1.3 are usual

error: `evaluation.decoding.sample.no-repeat-ngram` should be at least 1, found 0
  --> study.toml:30:19
   |
30 | no-repeat-ngram = 0
   |                   ^

error: an empty text would end every answer
  --> study.toml:31:15
   |
31 | stop = ["\n", ""]
   |               ^^
   |
   = help: remove it, or name the text that answers end before

4 faults in `study.toml`
"#);
    let shown = faults(&[], &["evaluation.decoding.greedy={ repetition-penalty = -1 }"]);
    let told = "error: `evaluation.decoding.greedy.repetition-penalty` should be above 0, found -1\n";
    assert!(shown.starts_with(told), "{shown}");
}

#[test]
fn whatever_was_published_is_in_range() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("study.toml");
    fs::write(&path, SOUND).expect("a file");
    for setting in [
        "training.pretrain={ lr = 10.0, epochs = 10000, batch = 4096, weight-decay = 1.0, clip = inf }",
        "training.sft={ lr = 1e-8, epochs = 0.01, batch = 1, clip = 0.001, schedule = { constant = { warmup = 0.99 } } }",
        "training.distill={ lr = 1e-7, weight-decay = 0, schedule = { linear = {} } }",
        "algorithms.kd.vanilla.temperature=0.01",
        "algorithms.kd.vanilla.temperature=100",
        "evaluation.decoding={ sample = { temperature = 0.1, top-p = 0.01, top-k = 1 } }",
        "evaluation.decoding.sample={ min-p = 1, repetition-penalty = 0.8, no-repeat-ngram = 1, stop = [\"\\n\"] }",
        "evaluation.decoding.greedy={ repetition-penalty = 2, no-repeat-ngram = 20, stop = [\"a\", \"é\"] }",
        "tuning.lora={ rank = 32, alpha = 256, dropout = 0.9 }",
        "energy={ cpu-tdp-watts = 1000, dram-watts-per-gib = 0.05, grid-kg-co2e-per-kwh = 0, pue = 1 }",
    ] {
        checked(&path, &[setting]).unwrap_or_else(|faults| panic!("{faults}"));
    }
}

/// `SOUND` whose hypothesis contrasts two students of different vocabularies.
fn across_vocabularies(metrics: &str) -> Vec<(&'static str, String)> {
    vec![
        ("student = [\"small\"]", "student = [\"small\", \"foreign\"]".to_owned()),
        ("[algorithms.kd.vanilla]", "[algorithms.kd.vanilla]\nalignment = \"uld\"".to_owned()),
        (
            "factor = \"sft\", better = \"both\", worse = \"none\"",
            "factor = \"student\", better = \"small\", worse = \"foreign\"".to_owned(),
        ),
        ("metrics = [\"rouge-l\"]", format!("metrics = {metrics}")),
    ]
}

#[test]
fn metrics_per_token_across_vocabularies() {
    let edits = across_vocabularies("[\"rouge-l\", \"nll\", \"bits-per-byte\", \"perplexity\"]");
    let edits: Vec<(&str, &str)> = edits.iter().map(|(from, to)| (*from, to.as_str())).collect();
    assert_snapshot!(faults(&edits, &[]), @r#"
    error: `nll` is per token, and the vocabularies of `small` and `foreign` differ: it cannot compare them
      --> study.toml:31:23
       |
    31 | metrics = ["rouge-l", "nll", "bits-per-byte", "perplexity"]
       |                       ^^^^^
       |
       = help: test `bits-per-byte` instead: it is per byte of the same answers

    error: `perplexity` is per token, and the vocabularies of `small` and `foreign` differ: it cannot compare them
      --> study.toml:31:47
       |
    31 | metrics = ["rouge-l", "nll", "bits-per-byte", "perplexity"]
       |                                               ^^^^^^^^^^^^
       |
       = help: test `bits-per-byte` instead: it is per byte of the same answers

    2 faults in `study.toml`
    "#);
    // Among students of one vocabulary, and under another factor, such a metric says what it says.
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("study.toml");
    for (better, factor) in [("large", "student"), ("foreign", "teacher")] {
        let text = SOUND.replace("[algorithms.kd.vanilla]", "[algorithms.kd.vanilla]\nalignment = \"uld\"");
        let text = text.replace(
            "factor = \"sft\", better = \"both\", worse = \"none\"",
            &format!("factor = \"{factor}\", better = \"{better}\", worse = \"small\""),
        );
        let text = text.replace(
            &format!("{factor} = [\"{}\"]", if factor == "student" { "small" } else { "large" }),
            &format!("{factor} = [\"small\", \"{better}\"]"),
        );
        let text = text.replace("metrics = [\"rouge-l\"]", "metrics = [\"nll\"]");
        std::fs::write(&path, text).unwrap();
        checked(&path, &[]).unwrap_or_else(|faults| panic!("{}", faults.render(false)));
    }
}

#[test]
fn the_form_of_an_objective_is_said_where_vocabularies_decide_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("study.toml");
    let text = SOUND.replace("teacher = [\"large\"]", "teacher = [\"large\", \"foreign\"]");
    let text = text.replace("[algorithms.kd.vanilla]\ntemperature = 2.0", "[algorithms.kd.dual-space]");
    std::fs::write(&path, text).unwrap();
    let checked = checked(&path, &[]).unwrap_or_else(|faults| panic!("{}", faults.render(false)));
    assert_eq!(
        checked.objectives,
        [
            "`kd` runs as DSKD, one vocabulary for `small` and `large`",
            "`kd` runs as DSKD with cross-model attention for `small` and `foreign`",
        ]
    );
}

#[test]
fn ends_of_answers_that_differ() {
    use tutelage::experiment::{Compared, Ends, Surroundings, check, load};

    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("study.toml");
    let text = SOUND.replace(
        "large.scratch = { tokenizer = \"a\", hidden = 64, layers = 2, heads = 2, feed-forward = 128 }",
        "large.checkpoint = \"hf:org/large\"",
    );
    std::fs::write(&path, text).unwrap();
    let look = |is_shared| {
        let ends = Ends { student: "</s>".to_owned(), teacher: "<|im_end|>".to_owned(), is_shared };
        let around = Surroundings {
            metrics: &super::metrics,
            per_token: &[],
            vocabularies: &|_, _| Some(Compared { same: true, ends: Some(ends.clone()), split: None }),
            in_cache: &super::in_cache,
            positions: &|_| None,
            width: &|_| None,
            adapters: &|_, _| None,
            quantised: &|_| None,
            train_examples: Some(2000),
            default_embedding_model: Ok(()),
        };
        check(load(&path, &[]), &around)
    };
    let checked = look(true).unwrap_or_else(|faults| panic!("{}", faults.render(false)));
    let note = "`small` ends answers with `</s>`, `large` with `<|im_end|>`: distillation takes the teacher's end for \
                the student's";
    assert!(checked.notes.iter().any(|told| told == note), "{:?}", checked.notes);
    let shown = look(false).expect_err("a fault").render(false);
    let fault = "`small` ends answers with `</s>`, which `large` does not have: it ends them with `<|im_end|>`";
    assert!(shown.contains(fault) && shown.contains("teacher = [\"large\"]"), "{shown}");
}
