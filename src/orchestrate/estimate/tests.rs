use std::path::Path;

use super::*;
use crate::device::Precision;
use crate::experiment::settings::{Architecture, BaseFormat, Lora, Model, OptimizerStates, Training, Tuning};
use crate::orchestrate::plan::tests::{checked, planned};
use crate::orchestrate::stages::cost::Split;
use crate::orchestrate::stages::memory::{Engine, MicroBatch};

#[test]
fn training_costs_six_operations_per_parameter_and_token() {
    let (folder, checked, plan) = (tempfile::tempdir().unwrap(), checked(|_| ()), planned(|_| ()));
    let store = Store::open(folder.path()).unwrap();
    let estimator = Estimator::new(&checked, &plan, &store, &[], Compute::reference()).unwrap();
    let find = |title: &str| plan.stages.iter().find(|stage| stage.title() == title).unwrap();
    let pretrain = find("pretrain big");
    // Tied embedding 300 x 16; attention 4 x 16 x 16; feed-forward 3 x 16 x 32; norms 3 x 16.
    let parameters = 300.0 * 16.0 + 4.0 * 256.0 + 3.0 * 512.0 + 48.0;
    let sizes = estimator.sizes(pretrain).unwrap();
    let corpus = sizes.corpus;
    let estimate = estimator.stage(pretrain);
    assert_eq!(estimate.operations, Some(6.0 * parameters * corpus));
    let cost = estimator.cost(pretrain);
    assert_eq!(cost.held, Some(16.0 * parameters));
    // What a micro-batch adds is in the tests of `stages::memory`.
    assert!(cost.memory > cost.held);
    assert_eq!(estimate.memory_bytes, cost.memory.map(|bytes| (1.1 * bytes + 2e8) as u64));
    // So small a model costs the start of its operations: one layer, by pass and by sequence.
    let training = &checked.experiment.training.pretrain;
    let sequences = corpus / training.max_length as f64;
    let operations = 20.0 * sequences / training.batch as f64 + 10.0 * sequences;
    let least = 3.0 * operations * 15e-6 * training.epochs;
    assert!(estimate.seconds.unwrap() > least);
    assert!(estimator.basis().iter().any(|basis| basis.contains("15 us (assumed")));
    // The training split is captured, and nothing else.
    let captured = estimator.stage(find("capture big (sft)"));
    assert_eq!(captured.operations, Some(2.0 * parameters * sizes.train.whole));
    let head = 2.0 * 16.0 * 300.0;
    assert_eq!(captured.disk_bytes, Some((4.0 * (16.0 * sizes.train.responses + head)) as u64));
    assert_eq!(captured.kept_bytes, captured.disk_bytes);
}

#[test]
fn the_best_weights_are_held_where_dev_is_measured() {
    let (folder, checked, plan) = (tempfile::tempdir().unwrap(), checked(|_| ()), planned(|_| ()));
    let store = Store::open(folder.path()).unwrap();
    let estimator = Estimator::new(&checked, &plan, &store, &[], Compute::reference()).unwrap();
    let find = |title: &str| plan.stages.iter().find(|stage| stage.title() == title).unwrap();
    let stages = ["pretrain small", "sft small seed 10"].map(find);
    let [pretrained, tuned] = stages.map(|stage| estimator.stage(stage));
    let parameters = 300 * 8 + 4 * 64 + 3 * 128 + 24;
    let held = [16.0, 20.0].map(|bytes| Some(bytes * parameters as f64));
    assert_eq!(stages.map(|stage| estimator.cost(stage).held), held);
    // Of two states one has been replaced by the other once it is whole.
    assert_eq!((pretrained.kept_bytes, pretrained.disk_bytes), (Some(4 * parameters), Some(24 * parameters)));
    assert_eq!((tuned.kept_bytes, tuned.disk_bytes), (Some(4 * parameters), Some(32 * parameters)));
    assert_eq!(Needs::of([&pretrained, &tuned].into_iter()).disk_bytes, (8 + 28) * parameters);
}

#[test]
fn adapters_are_counted_and_need_the_weights_in_the_format_of_the_products() {
    let edit = |experiment: &mut Experiment| {
        experiment.tuning = Tuning::Lora(Lora::default());
        experiment.training.sft.batch = 1;
    };
    let (folder, checked, plan) = (tempfile::tempdir().unwrap(), checked(edit), planned(edit));
    let store = Store::open(folder.path()).unwrap();
    let sft = plan.stages.iter().find(|stage| stage.title() == "sft small seed 10").unwrap();
    let held = |precision| {
        let compute = Compute { precision, ..Compute::reference() };
        Estimator::new(&checked, &plan, &store, &[], compute).unwrap().cost(sft).held.unwrap()
    };
    let parameters = 300.0 * 8.0 + 4.0 * 64.0 + 3.0 * 128.0 + 24.0;
    // Rank 8, queries and values 8 to 8; masters, moments, gradients (with a copy in bf16) and the best.
    let adapters = 2.0 * 8.0 * 16.0;
    assert_eq!(held(Precision::F32), 4.0 * parameters + 20.0 * adapters);
    assert_eq!(held(Precision::Bf16), 2.0 * parameters + 20.0 * adapters);
    let estimator = Estimator::new(&checked, &plan, &store, &[], Compute::reference()).unwrap();
    assert_eq!(estimator.stage(sft).kept_bytes, Some(4 * adapters as u64));
}

#[test]
fn adapters_answer_and_teach_on_the_weights_that_they_were_trained_on() {
    let edit = |experiment: &mut Experiment| {
        experiment.tuning = Tuning::Lora(Lora { base: BaseFormat::Nf4, ..Lora::default() });
    };
    let (folder, checked, plan) = (tempfile::tempdir().unwrap(), checked(edit), planned(edit));
    let store = Store::open(folder.path()).unwrap();
    let held = |stage: &Stage, precision| {
        let compute = Compute { precision, ..Compute::reference() };
        Estimator::new(&checked, &plan, &store, &[], compute).unwrap().cost(stage).held.unwrap()
    };
    let find = |title: &str| plan.stages.iter().find(|stage| stage.title() == title).unwrap();
    let generate = find("generate none/kd seed 10");
    // Half a byte each, and of 64 a scale of a byte and a 64th; in f32 answers come from whole weights.
    let bytes = |matrices: f64| matrices * (0.5 + (1.0 + 4.0 / 256.0) / 64.0);
    let (matrices, rest) = (4.0 * 64.0 + 3.0 * 128.0, 300.0 * 8.0 + 24.0);
    assert_eq!(held(generate, Precision::Bf16), 2.0 * rest + bytes(matrices));
    assert_eq!(held(generate, Precision::F32), 4.0 * (rest + matrices));
    assert_eq!(held(find("generate student small seed 10"), Precision::Bf16), 2.0 * (rest + matrices));
    let (matrices, rest) = (4.0 * 256.0 + 3.0 * 512.0, 300.0 * 16.0 + 48.0);
    assert_eq!(held(find("capture big (sft)"), Precision::F32), 4.0 * rest + bytes(matrices));
}

#[test]
fn answers_are_decoded_in_tiles_and_references_answer_dev_too() {
    let edit = |experiment: &mut Experiment| {
        experiment.evaluation.batch = 64;
        experiment.evaluation.max_new_tokens = 5;
    };
    let (folder, checked, plan) = (tempfile::tempdir().unwrap(), checked(edit), planned(edit));
    let store = Store::open(folder.path()).unwrap();
    let estimator = Estimator::new(&checked, &plan, &store, &[], Compute::reference()).unwrap();
    let stage = |title: &str| plan.stages.iter().find(|stage| stage.title() == title).unwrap();
    let Sizes { dev, test, .. } = estimator.sizes(stage("generate none/kd seed 10")).unwrap();
    let parameters = 300.0 * 8.0 + 4.0 * 64.0 + 3.0 * 128.0 + 24.0;
    // A tile of 16 rows is computed whole: 5 steps for each 16 answers.
    let operations = |split: Split| {
        let decoded = (split.examples / 16.0).ceil() * 5.0 * 16.0;
        2.0 * parameters * (split.prompts + split.whole + decoded)
    };
    let close = |title: &str, expected: f64| {
        let found = estimator.stage(stage(title)).operations.unwrap();
        assert!((found / expected - 1.0).abs() < 1e-12, "{title}: {found} {expected}");
    };
    close("generate none/kd seed 10", operations(test));
    close("generate student small seed 10", operations(test) + operations(dev));
    // Keys and values of 8 numbers in the one layer.
    let longest = test.longest_prompt + 5.0;
    let cache = 4.0 * 16.0 * 2.0 * 8.0;
    let cost = estimator.cost(stage("generate none/kd seed 10"));
    assert_eq!(cost.held, Some(4.0 * parameters));
    // A pass holds 2 x 8 and 3 x 16 numbers of a token, and two tensors of logits: of 64 references, which
    // take more than a prompt and the cache.
    let references = test.whole.min(64.0 * test.longest);
    let passing = 4.0 * references * 64.0 + 2.0 * 4.0 * 300.0 * references;
    assert!(passing > longest * (cache + 4.0 * 64.0));
    assert_eq!(cost.memory, Some(4.0 * parameters + passing));
    // Each step reads all weights, the embedding being the head, and the cache of that moment.
    let steps = (test.examples / 16.0).ceil() * 5.0;
    let seen = test.prompts / test.examples + 5.0;
    assert!((cost.decoding.bytes / (steps * (4.0 * parameters + cache * seen)) - 1.0).abs() < 1e-12);
    assert!((cost.decoding.operations / (2.0 * parameters * 16.0 * steps) - 1.0).abs() < 1e-12);
}

#[test]
fn another_machine_is_planned_from_its_data_sheet() {
    let (checked, plan) = (checked(|_| ()), planned(|_| ()));
    let h100 = Machine::named("h100").unwrap();
    let estimator = Estimator::on(&checked, &plan, &Store::view(Path::new("nowhere")), &[], h100).unwrap();
    let find = |title: &str| plan.stages.iter().find(|stage| stage.title() == title).unwrap();
    let pretrain = find("pretrain big");
    let (estimate, cost) = (estimator.stage(pretrain), estimator.cost(pretrain));
    assert_eq!(estimate.seconds, h100.seconds(&cost, Precision::Bf16));
    // 0.7 of 700 W.
    let energy = estimate.seconds.unwrap() * 490.0 / 3.6e6;
    assert!((estimate.kilowatt_hours.unwrap() / energy - 1.0).abs() < 1e-12);
    assert_eq!(estimate.memory_bytes, cost.memory.map(|bytes| (1.1 * bytes + 1e9) as u64));
    assert_eq!(plan.stages.iter().find_map(|stage| estimator.misfit(stage)), None);
    let basis = estimator.basis().join("\n");
    for told in [
        "planned for NVIDIA H100 SXM 80 GB, one stage at a time in bf16, not for this machine",
        "1.0 GB of CUDA and its libraries (assumed)",
        "not measured on a GPU",
        "NVIDIA H100 Tensor Core GPU data sheet",
        "30 % of the peak in training, 40 % in forward passes, 50 % of the bandwidth in decoding",
        "70 % (assumed) of 700 W, the board, without its host",
    ] {
        assert!(basis.contains(told), "{told}: {basis}");
    }
    assert!(!basis.contains("matrix product"), "{basis}");
}

#[test]
fn what_does_not_fit_is_told_with_a_remedy() {
    let edit = |(layers, batch): (usize, usize)| {
        move |experiment: &mut Experiment| {
            let Some(Model::Scratch(big)) = experiment.models.get_mut("big") else { panic!("a scratch model") };
            (big.hidden, big.heads, big.feed_forward, big.layers) = (2048, 16, 5632, layers);
            experiment.training.pretrain.batch = batch;
        }
    };
    let misfit = |size| {
        let (checked, plan) = (checked(edit(size)), planned(edit(size)));
        let stage = plan.stages.iter().find(|stage| stage.title() == "pretrain big").unwrap();
        Estimator::on(&checked, &plan, &Store::view(Path::new("nowhere")), &[], Machine::named("rtx-4090").unwrap())
            .unwrap()
            .misfit(stage)
    };
    assert_eq!(misfit((2, 1)), None);
    // 51 million parameters in each of 16 layers, 20 bytes each and 10 %, fit 24 GB; 32,768 tokens do not.
    let batch = misfit((16, 512)).unwrap();
    assert!(batch.held_bytes < 24_000_000_000 && batch.needs_bytes > 24_000_000_000, "{batch:?}");
    assert!(batch.remedy.starts_with("raise `accumulation` or lower `batch` or `max-length`"), "{batch:?}");
    let settings = |misfit: &Misfit| misfit.ways.iter().map(|way| way.setting.clone()).collect::<Vec<_>>();
    assert_eq!(settings(&batch), ["accumulation = 8"]);
    assert!(batch.ways[0].needs_bytes < 24_000_000_000 && batch.ways[0].needs_bytes > batch.held_bytes, "{batch:?}");
    let whole = misfit((40, 1)).unwrap();
    assert!(whole.held_bytes > 24_000_000_000, "{whole:?}");
    assert!(whole.remedy.ends_with("no smaller batch helps"), "{whole:?}");
    // Ten bytes a number instead of sixteen do.
    assert_eq!(settings(&whole), ["gradient-checkpointing = true", "optimizer-states = \"8bit\""]);
    assert!(whole.ways[0].needs_bytes > 24_000_000_000 && whole.ways[1].needs_bytes < 24_000_000_000, "{whole:?}");
    assert_eq!((whole.stage.as_str(), whole.has_bytes), ("pretrain big", 24_000_000_000));
}

/// Peaks of `tutelage bench sft` (VmHWM, one or two steps, libtorch 2.11, two cores of a Xeon) with random
/// weights, LoRA of rank 16 on all projections: what `MEASURED` says.
#[test]
fn memory_is_that_of_measured_trainings() {
    // Hidden, feed-forward, layers, heads, key heads, vocabulary, tied.
    const A: [usize; 7] = [512, 1376, 8, 8, 8, 8000, 0];
    const B: [usize; 7] = [384, 1024, 12, 6, 2, 32_000, 1];
    const C: [usize; 7] = [640, 1760, 10, 10, 2, 4000, 1];
    let lora = || {
        let all = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"];
        let target_modules = all.map(str::to_owned).to_vec();
        Tuning::Lora(Lora { rank: 16, target_modules, ..Lora::default() })
    };
    // Model, batch, length, tokens of a response, all weights, number format, megabytes.
    for (model, batch, length, response, is_full, precision, measured) in [
        (A, 1, 128, 40.0, true, Precision::F32, 900.0),
        (A, 1, 512, 40.0, true, Precision::F32, 1045.0),
        (A, 4, 512, 40.0, true, Precision::F32, 1771.0),
        (A, 16, 128, 40.0, true, Precision::F32, 1667.0),
        (A, 1, 128, 40.0, false, Precision::F32, 411.0),
        (A, 1, 512, 40.0, false, Precision::F32, 640.0),
        (A, 4, 512, 40.0, false, Precision::F32, 1199.0),
        (A, 4, 512, 40.0, true, Precision::Bf16, 1310.0),
        (A, 4, 512, 40.0, false, Precision::Bf16, 763.0),
        (B, 1, 128, 40.0, true, Precision::F32, 903.0),
        (B, 4, 512, 40.0, true, Precision::F32, 1744.0),
        (B, 2, 1024, 40.0, true, Precision::F32, 1923.0),
        (B, 1, 1536, 40.0, true, Precision::F32, 1477.0),
        (B, 4, 512, 40.0, false, Precision::F32, 1276.0),
        (C, 4, 512, 40.0, true, Precision::F32, 2368.0),
        (C, 4, 512, 290.0, false, Precision::F32, 1796.0),
    ] {
        let [hidden, feed_forward, layers, heads, key_heads, vocabulary, tied] = model;
        let scratch = Scratch {
            data: None,
            architecture: Architecture::Llama,
            tokenizer: String::new(),
            hidden,
            layers,
            heads,
            kv_heads: Some(key_heads),
            feed_forward,
            positions: 2048,
            tied: tied == 1,
        };
        let size = Size::of(&Config::scratch(&scratch, vocabulary, 0));
        let tuning = if is_full { Tuning::Full {} } else { lora() };
        let training = Training { batch, max_length: length, ..Training::default() };
        let (examples, longest) = (100.0, length as f64);
        let train =
            Split { examples, whole: examples * longest, responses: examples * response, longest, ..Split::default() };
        let compute = Compute { precision, ..Compute::reference() };
        let (engine, micro) = (Engine::new(compute, false), MicroBatch::of(&training, Some(train), compute));
        let asked = engine.states(&size, &tuning, OptimizerStates::F32, micro.parts)
            + engine.activations(&size, &tuning, micro);
        let ratio = (PROGRAM_BYTES + (1.0 + IDLE_SHARE) * asked) / 1e6 / measured;
        assert!((ratio - 1.0).abs() < 0.1, "{model:?} {batch} x {length} {is_full} {precision:?}: {ratio}");
    }
}
