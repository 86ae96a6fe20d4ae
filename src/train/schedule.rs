//! The course of the learning rate.

use crate::experiment::settings::Schedule;

/// Returns the learning rate of step `step` (from 0) of `steps`.
///
/// Warm-up rises linearly over its share of the steps and reaches `peak` on its last step; then
/// cosine follows `floor + (peak - floor) (1 + cos(pi t)) / 2` (Loshchilov and Hutter 2017, arXiv
/// 1608.03983, eq. 5) and linear `peak - (peak - floor) t`, t from 0 to just under 1. Warm-up, stable, decay
/// (Hu et al. 2024, arXiv 2404.06395, section 4.2; the fall is linear, as Hägele et al. 2024, arXiv 2405.18392,
/// have it) stays at the peak until the last share of the steps, over which t runs.
pub fn learning_rate(schedule: Schedule, peak: f64, step: u64, steps: u64) -> f64 {
    let (Schedule::Constant { warmup }
    | Schedule::Linear { warmup, .. }
    | Schedule::Cosine { warmup, .. }
    | Schedule::Wsd { warmup, .. }) = schedule;
    let warming = (warmup * steps as f64).round();
    let step = step as f64;
    if step < warming {
        return peak * (step + 1.0) / warming;
    }
    let t = (step - warming) / (steps as f64 - warming).max(1.0);
    match schedule {
        Schedule::Constant { .. } => peak,
        Schedule::Linear { floor, .. } => peak - (peak - floor) * t,
        Schedule::Wsd { decay, floor, .. } => {
            let falling = (decay * steps as f64).round();
            let t = (step - (steps as f64 - falling)) / falling.max(1.0);
            peak - (peak - floor) * t.max(0.0)
        }
        Schedule::Cosine { floor, .. } => floor + (peak - floor) * (1.0 + (std::f64::consts::PI * t).cos()) / 2.0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn meets_its_known_points() {
        let close = |a: f64, b: f64| assert!((a - b).abs() < 1e-12, "{a} {b}");
        let cosine = Schedule::Cosine { warmup: 0.0, floor: 0.2 };
        close(learning_rate(cosine, 1.0, 0, 100), 1.0);
        close(learning_rate(cosine, 1.0, 50, 100), 0.6);
        let linear = Schedule::Linear { warmup: 0.1, floor: 0.0 };
        close(learning_rate(linear, 1.0, 0, 100), 0.1);
        close(learning_rate(linear, 1.0, 9, 100), 1.0);
        close(learning_rate(linear, 1.0, 10, 100), 1.0);
        close(learning_rate(linear, 1.0, 55, 100), 0.5);
        let wsd = Schedule::Wsd { warmup: 0.1, decay: 0.2, floor: 0.5 };
        let expected = [(0, 0.1), (9, 1.0), (10, 1.0), (80, 1.0), (90, 0.75), (98, 0.55)];
        expected.into_iter().for_each(|(step, rate)| close(learning_rate(wsd, 1.0, step, 100), rate));
        // Without a fall, and with nothing else.
        close(learning_rate(Schedule::Wsd { warmup: 0.0, decay: 0.0, floor: 0.5 }, 1.0, 99, 100), 1.0);
        close(learning_rate(Schedule::Wsd { warmup: 0.0, decay: 1.0, floor: 0.0 }, 1.0, 50, 100), 0.5);
        close(learning_rate(Schedule::Constant { warmup: 0.0 }, 1.0, 99, 100), 1.0);
    }
}
