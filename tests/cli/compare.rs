//! `compare` on small files.

use insta::assert_snapshot;

use super::{tutelage, write};

#[test]
fn two_files_are_compared_in_pairs() {
    let folder = tempfile::tempdir().unwrap();
    let rows = |values: [f64; 4]| {
        let row = |(id, value): (usize, f64)| format!("{{\"id\": \"{id}\", \"metric\": \"f1\", \"value\": {value}}}\n");
        values.into_iter().enumerate().map(row).collect::<String>()
    };
    write(folder.path(), "a.jsonl", &rows([1.0, 0.5, 0.75, 0.5]));
    write(folder.path(), "b.jsonl", &rows([0.5, 0.25, 0.75, 0.0]));
    let json = tutelage(folder.path(), &["compare", "a.jsonl", "b.jsonl", "--metric", "f1", "--format", "json"]);
    assert!(json.starts_with("exit 0\n"), "{json}");
    assert!(json.contains("\"difference\": 0.3125"), "{json}");
    assert!(json.contains("\"test\": \"wilcoxon\""), "{json}");
    assert!(json.contains("\"ci\": [\n    null,\n    null\n  ]"), "four questions reject nothing: {json}");
    let named = |file: &str, field: &str| {
        let text = std::fs::read_to_string(folder.path().join("a.jsonl")).unwrap();
        write(folder.path(), file, &text.replace('}', &format!(", \"{field}\": \"d\"}}")));
        tutelage(folder.path(), &["compare", file, "b.jsonl", "--metric", "f1"])
    };
    let note = "note: there is no `group` in rows of `c.jsonl`, and `docid` is not read: their questions count as independent\n";
    assert!(named("c.jsonl", "docid").contains(note), "{}", named("c.jsonl", "docid"));
    assert!(!named("c.jsonl", "group").contains("there is no `group`"));
    let missing = tutelage(folder.path(), &["compare", "a.jsonl", "b.jsonl", "--metric", "bleu"]);
    assert_snapshot!(missing, @r"
    exit 2
    --- stdout
    --- stderr
    error: `a.jsonl` has no values of `bleu`; it has: f1
    ");
}

/// Writes predictions of both sides: B is better on the long answers, A on the short ones.
fn predictions(folder: &std::path::Path) {
    let long = "the AMF selects one SMF for each session and stores its address in the context of the UE";
    for (side, [short, other]) in [("a", ["cell edge user plane", "no idea"]), ("b", ["cell core", long])] {
        let rows: String = (0..16)
            .map(|i| {
                let (prediction, reference) = if i % 4 == 0 { (other, long) } else { (short, "cell edge user plane") };
                let group = i / 2;
                format!("{{\"id\": {i}, \"group\": {group}, \"prediction\": \"{prediction}\", \"reference\": \"{reference}\"}}\n")
            })
            .collect();
        write(folder, &format!("{side}.jsonl"), &rows);
    }
}

#[test]
fn bleu_is_compared_as_it_is_scored() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    predictions(at);
    let mut corpus = Vec::new();
    for side in ["a", "b"] {
        let (file, values) = (format!("{side}.jsonl"), format!("{side}.v.jsonl"));
        let arguments =
            ["score", "--predictions", &file, "--metrics", "bleu", "--format", "json", "--per-example", &values];
        let told = tutelage(at, &arguments);
        let json = told.split("--- stdout\n").nth(1).and_then(|rest| rest.split("--- stderr").next()).unwrap();
        let json: serde_json::Value = serde_json::from_str(json).unwrap();
        corpus.push(json["metrics"][0]["value"].as_f64().unwrap());
    }
    let compare = ["compare", "a.v.jsonl", "b.v.jsonl", "--metric", "bleu"];
    let told = tutelage(at, &[&compare[..], &["--format", "json"]].concat());
    let json = told.split("--- stdout\n").nth(1).and_then(|rest| rest.split("--- stderr").next()).unwrap();
    let json: serde_json::Value = serde_json::from_str(json).unwrap();
    assert_eq!((json["mean_a"].as_f64().unwrap(), json["mean_b"].as_f64().unwrap()), (corpus[0], corpus[1]));
    assert_eq!(
        (&json["level"], &json["unit"], &json["units"], &json["n"]),
        (&"corpus".into(), &"group".into(), &8.into(), &16.into())
    );
    assert!(json["signature"].as_str().unwrap().contains("|eff:no|"), "{json}");
    assert!(corpus[0] < corpus[1], "{corpus:?}");
    assert_snapshot!(tutelage(at, &compare), @"
    exit 0
    --- stdout
    bleu   n 16 in 8 groups   corpus score 29.8873 and 72.3241   difference −42.4368 (95 % interval −86.9751 to +80.0437)
    nrefs:1|case:mixed|eff:no|tok:13a|smooth:exp|version:tutelage-0.1.0|equals:sacrebleu-2.6.0

    test                 statistic  p
    permutation          −42.4368   0.281
    randomisation        −42.4368   0.283
    bootstrap            −42.4368   0.153
    sacrebleu-bootstrap  −42.4368   0.004

    effect  value    95 % interval
    d-z     −0.6077  −1.2455 to 1.1462
    --- stderr
    ");

    // Without counts it is another statistic, with another sign, under another name.
    for side in ["a", "b"] {
        let path = at.join(format!("{side}.v.jsonl"));
        let rows = std::fs::read_to_string(&path).unwrap();
        let strip = |line: &str| {
            let mut row: serde_json::Value = serde_json::from_str(line).unwrap();
            row.as_object_mut().unwrap().remove("counts");
            row.to_string() + "\n"
        };
        write(at, &format!("{side}.v.jsonl"), &rows.lines().map(strip).collect::<String>());
    }
    assert_snapshot!(tutelage(at, &[&compare[..], &["--quiet", "--unit", "question"]].concat()), @r"
    exit 0
    --- stdout
    sentence-bleu   n 16   mean 75.0000 and 38.7955   difference +36.2045 (95 % interval −9.1970 to +81.6060)
    nrefs:1|case:mixed|eff:yes|tok:13a|smooth:exp|version:tutelage-0.1.0|equals:sacrebleu-2.6.0

    test         statistic  p
    wilcoxon     58.0000    0.586
    paired-t     1.7831     0.095
    permutation  36.2045    0.081
    bootstrap    36.2045    0.035
    sign         4.0000     0.077

    effect        value   95 % interval
    d-z           0.4458  −0.0680 to 0.9595
    cliffs-delta  0.3125  −0.2500 to 0.8164
    a12           0.6562  0.3750 to 0.9082
    --- stderr
    note: questions are counted as independent, though they are of 8 groups
    note: sentence-level: the mean of sentence scores, not the bleu of the corpus, for which rows need `counts`
    ");
}

#[test]
fn files_that_do_not_fit_together_are_told() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let rows = |ids: std::ops::Range<u32>, more: &str| -> String {
        ids.map(|id| format!("{{\"id\": {id}, \"metric\": \"f1\", \"value\": {}{more}}}\n", f64::from(id % 7) / 7.0))
            .collect()
    };
    write(at, "a.jsonl", &rows(0..20, ""));
    write(at, "b.jsonl", &rows(5..24, ""));
    write(at, "c.jsonl", &rows(15..40, ""));
    write(at, "d.jsonl", &rows(0..20, ", \"signature\": \"tok:13a|version:1\""));
    write(at, "e.jsonl", &rows(0..20, ", \"signature\": \"tok:zh|version:1\""));
    write(at, "f.jsonl", &(rows(0..20, "") + &rows(3..4, "")));
    write(at, "g.jsonl", "{\"id\": 1, \"score\": 3}\n");
    write(at, "h.jsonl", "{\"id\": 1, \"metric\": \"f1\", \"value\": null}\n");
    let compare = |a: &str, b: &str| {
        let told = tutelage(at, &["compare", a, b, "--metric", "f1", "--quiet"]);
        told.split("--- stderr\n").nth(1).unwrap().to_owned()
    };
    let told = [("a", "b"), ("a", "c"), ("d", "e"), ("a", "f"), ("a", "g"), ("a", "h")]
        .map(|(a, b)| compare(&format!("{a}.jsonl"), &format!("{b}.jsonl")));
    assert_snapshot!(told.join("\n"), @r#"
    note: 5 of 20 ids are in the first list only and are left out: `0`, `1`, `2`, `3`, `4`
    note: 4 of 19 ids are in the second list only and are left out: `20`, `21`, `22`, `23`

    error: the lists share 5 of 20 and 25 identifiers, expected at least half of all

    error: the values of `f1` were computed in two ways: `tok:13a|version:1` and `tok:zh|version:1`
    hint: score both sides with the same settings

    error: `f.jsonl`, line 21: id `3` occurs before, in `f.jsonl`, line 4

    error: `g.jsonl`, line 1: no `metric`, found `id`, `score`
    hint: rows are {"id", "metric", "value"}, as `tutelage score --per-example` writes them

    error: `h.jsonl`, line 1: expected a value for `value`, found null
    "#);
}

#[test]
fn p_is_never_printed_as_zero() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    for (side, value) in [("a", 1.0), ("b", 0.0)] {
        let row = |id: u32| {
            let value = if id.is_multiple_of(50) { 1.0 - value } else { value };
            format!("{{\"id\": {id}, \"metric\": \"em\", \"value\": {value}}}\n")
        };
        write(at, &format!("{side}.jsonl"), &(0..400).map(row).collect::<String>());
    }
    let told = tutelage(at, &["compare", "a.jsonl", "b.jsonl", "--metric", "em"]);
    let p: Vec<&str> = told
        .lines()
        .skip_while(|line| !line.starts_with("test "))
        .skip(1)
        .take_while(|line| !line.is_empty())
        .collect();
    assert_eq!(p.len(), 6);
    assert!(p.iter().all(|line| !line.contains(" 0.0000") && !line.contains("-0")), "{told}");
    assert!(told.contains("permutation  0.9600     < 0.0001\n"), "{told}");
}
