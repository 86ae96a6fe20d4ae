//! Faults in how adapters are set up.

use insta::assert_snapshot;

use super::one_fault;

#[test]
fn patterns_are_regular_expressions() {
    assert_snapshot!(one_fault(&[], &["tuning.lora.target-modules='.*(q|v_proj'"]), @r"
error: `.*(q|v_proj` is no regular expression: unclosed group
--> --set tuning.lora.target-modules='.*(q|v_proj'
 = help: write one like `.*\.(q|v)_proj`; it is matched with names such as `model.layers.0.self_attn.q_proj`
");
    assert_snapshot!(one_fault(&[], &["tuning.lora={ rank-pattern = { 'mlp)(' = 4 } }"]), @r"
error: `mlp)(` is no regular expression: unopened group
--> --set tuning.lora={ rank-pattern = { 'mlp)(' = 4 } }
 = help: write one like `.*\.(q|v)_proj`; it is matched with names such as `model.layers.0.self_attn.q_proj`
");
    assert_snapshot!(one_fault(&[], &["tuning.lora={ rank-pattern = { mlp = 0 } }"]), @r"
error: `tuning.lora.rank-pattern.mlp` should be at least 1, found 0
--> --set tuning.lora={ rank-pattern = { mlp = 0 } }
");
    assert_snapshot!(one_fault(&[], &["tuning.lora={ alpha-pattern = { mlp = -1 } }"]), @r"
error: `tuning.lora.alpha-pattern.mlp` should be above 0, found -1
--> --set tuning.lora={ alpha-pattern = { mlp = -1 } }
 = help: the update is scaled by `alpha / rank`: 0.01 to 4 are usual
");
}

#[test]
fn what_does_not_go_together_is_told() {
    let pissa = "tuning.lora={ initialisation = \"pissa\", base = \"nf4\" }";
    assert_snapshot!(one_fault(&[], &[pissa]), @r#"
error: what adapters start with cannot be taken out of weights in four bits
--> --set tuning.lora={ initialisation = "pissa", base = "nf4" }
 = help: choose `initialisation = "kaiming"` or `"gaussian"`, or `base = "full"`
"#);
    assert_snapshot!(one_fault(&[], &["tuning.lora.loraplus-lr-ratio=0"]), @r"
error: `tuning.lora.loraplus-lr-ratio` should be above 0, found 0
--> --set tuning.lora.loraplus-lr-ratio=0
 = help: B learns at so many times the learning rate of A: 16 is usual
");
    assert_snapshot!(one_fault(&[], &["tuning.lora.initialisation='svd'"]), @r"
error: `tuning.lora.initialisation` has no choice `svd`
--> --set tuning.lora.initialisation='svd'
 = help: choices: `kaiming`, `gaussian`, `pissa`, `olora`
");
    assert_snapshot!(one_fault(&[], &["tuning.lora.modules-to-save=['lm_head', 'lm_head']"]), @r"
error: `lm_head` appears twice in `tuning.lora.modules-to-save`
--> --set tuning.lora.modules-to-save=['lm_head', 'lm_head']
 = help: remove one of them
");
}

#[test]
fn schedules_and_patience_make_sense() {
    assert_snapshot!(one_fault(&[], &["training.sft={ schedule = { wsd = { warmup = 0.3, decay = 0.8 } } }"]), @r"
error: `training.sft.schedule.wsd.decay` should be a share of the steps after warm-up, from 0 to 0.7, found 0.8
--> --set training.sft={ schedule = { wsd = { warmup = 0.3, decay = 0.8 } } }
 = help: 0.1 or 0.2 are usual
");
    assert_snapshot!(one_fault(&[], &["training.sft={ schedule = { wsd = { decay = 20 } } }"]), @r"
error: `training.sft.schedule.wsd.decay` should be a share of the steps after warm-up, from 0 to 1, found 20
--> --set training.sft={ schedule = { wsd = { decay = 20 } } }
 = help: 0.1 or 0.2 are usual
");
    assert_snapshot!(one_fault(&[], &["training.sft={ patience = 0 }"]), @r"
error: `training.sft.patience` should be at least 1, found 0
--> --set training.sft={ patience = 0 }
");
    assert_snapshot!(one_fault(&[], &["training.sft={ patience = 3, validate = 'end' }"]), @r#"
error: `training.sft.patience` waits for a dev loss that is measured at the end only
--> --set training.sft={ patience = 3, validate = 'end' }
 = help: write `validate = "epoch"`, or leave `patience` out
"#);
    assert_snapshot!(one_fault(&[], &["training.sft={ keep-best = 3, validate = 'end' }"]), @r#"
error: `training.sft.keep-best` chooses by a dev loss that is measured at the end only
--> --set training.sft={ keep-best = 3, validate = 'end' }
 = help: write `validate = "epoch"`, or leave `keep-best` out
"#);
}
