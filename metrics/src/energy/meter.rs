//! Samples sources of energy from start to finish.
//!
//! A counter is read at both ends, and in between so that it cannot turn over unseen; power is sampled
//! and integrated by the trapezoidal rule. Where the process was stopped (by a terminal, a scheduler or
//! a container) or the machine slept, nothing was sampled: what a counter that may have turned over
//! meanwhile counted is estimated at best, between bounds; power that nobody read is unavailable; both
//! are said. Work on a GPU runs on after the call that started it: the caller synchronises the device
//! before start and finish.

use super::account::{Account, Measured};
use super::gap::{Gap, Gaps};
use super::source::{Joules, PowerSource, Reading, State, Turn, Unavailable};
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use nix::time::ClockId;

/// Time between samples: GPU power sensors renew their value about as often.
pub const INTERVAL: Duration = Duration::from_millis(100);

/// Longest time between two readings of a power sensor that its integral bridges, in seconds: far
/// above [`INTERVAL`] on a busy machine, short beside any stop. An assumption.
const BRIDGED_SECONDS: f64 = 5.0;

/// Sleep of the machine that is no rounding of its two clocks, in seconds.
const SLEEP_SECONDS: f64 = 1.0;

/// Tells the time that seconds of an account are counted in.
pub trait Clock: Send + Sync {
    /// Returns the time since some fixed moment, sleep of the machine included; never falls.
    fn now(&self) -> Duration;

    /// Returns how much of it the machine slept.
    fn slept(&self) -> Duration {
        Duration::ZERO
    }
}

/// The machine's clocks: since boot with its sleep, and without it.
#[derive(Debug, Clone, Copy)]
pub struct SinceBoot;

impl Clock for SinceBoot {
    fn now(&self) -> Duration {
        read(CLOCK_BOOTTIME)
    }

    fn slept(&self) -> Duration {
        self.now().saturating_sub(read(ClockId::CLOCK_MONOTONIC))
    }
}

/// Only Linux counts sleep in a clock of its own.
#[cfg(target_os = "linux")]
const CLOCK_BOOTTIME: ClockId = ClockId::CLOCK_BOOTTIME;
#[cfg(not(target_os = "linux"))]
const CLOCK_BOOTTIME: ClockId = ClockId::CLOCK_MONOTONIC;

fn read(clock: ClockId) -> Duration {
    // Fails for clocks that the system does not have: these two it has.
    clock.now().map(Duration::from).unwrap_or_default()
}

/// Meters from [`Meter::start`] to [`Meter::finish`], with a thread that samples in between.
///
/// Dropped without finish, it ends its thread and there is no account.
pub struct Meter {
    ledger: Arc<Mutex<Ledger>>,
    /// Dropped to end the thread.
    stop: Sender<()>,
    thread: JoinHandle<()>,
}

impl Meter {
    /// Reads every source for the first time and starts to sample.
    pub fn start(sources: Vec<Box<dyn PowerSource>>, clock: Arc<dyn Clock>) -> Self {
        let ledger = Arc::new(Mutex::new(Ledger::open(sources, clock)));
        let (stop, stopped) = mpsc::channel();
        let sampled = Arc::clone(&ledger);
        let thread = thread::spawn(move || {
            while stopped.recv_timeout(INTERVAL) == Err(RecvTimeoutError::Timeout) {
                lock(&sampled).sample();
            }
        });
        Self { ledger, stop, thread }
    }

    /// Reads every source now and returns the account so far.
    pub fn account(&self) -> Account {
        lock(&self.ledger).account()
    }

    /// Reads every source for the last time and returns the account.
    pub fn finish(self) -> Account {
        drop(self.stop);
        let sampling = self.thread.join();
        let mut ledger = lock(&self.ledger);
        if sampling.is_err() {
            ledger.fail(&Unavailable::because("the sampling thread panicked"));
        }
        ledger.account()
    }
}

/// Locks the ledger; a thread that panicked with it is noticed when it is joined.
fn lock(ledger: &Mutex<Ledger>) -> MutexGuard<'_, Ledger> {
    ledger.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Holds what has been read of each source.
struct Ledger {
    clock: Arc<dyn Clock>,
    start: Duration,
    tracks: Vec<Track>,
}

/// Holds what has been read of one source.
struct Track {
    source: Box<dyn PowerSource>,
    turn: Option<Turn>,
    /// Latest value of the counter, and what it counted since the first, turns unrolled.
    counter: Option<Counter>,
    /// Times in which the counter may have turned over unread: not in what it counted.
    gaps: Gaps,
    /// Latest power, and the energy integrated up to it.
    power: Option<Power>,
    /// Whether the first and the latest reading had a power: between them gaps are bridged.
    power_at_ends: (bool, bool),
    /// Whether the power was read often enough to be integrated.
    power_is_whole: bool,
    samples: usize,
    failed_samples: usize,
    /// Why the latest reading failed, or why none will count any more.
    failure: Option<Unavailable>,
    is_lost: bool,
}

/// When a value was read: after `from` and before `to`, which a stop may keep apart.
#[derive(Clone, Copy)]
struct Moment {
    from: Duration,
    to: Duration,
    /// Sleep of the machine so far.
    slept: Duration,
}

impl Moment {
    /// Returns the longest time in seconds that may lie between an `earlier` reading and this one.
    fn since(&self, earlier: &Self) -> f64 {
        self.to.saturating_sub(earlier.from).as_secs_f64()
    }

    fn slept_since(&self, earlier: &Self) -> f64 {
        self.slept.saturating_sub(earlier.slept).as_secs_f64()
    }
}

#[derive(Clone, Copy)]
struct Counter {
    at: Moment,
    value: Joules,
    counted: Joules,
}

#[derive(Clone, Copy)]
struct Power {
    at: Moment,
    watts: f64,
    integral: Joules,
}

impl Ledger {
    fn open(sources: Vec<Box<dyn PowerSource>>, clock: Arc<dyn Clock>) -> Self {
        let start = clock.now();
        let tracks = sources.into_iter().map(|source| Track::open(source, clock.as_ref())).collect();
        Self { clock, start, tracks }
    }

    fn sample(&mut self) {
        for track in &mut self.tracks {
            track.sample(self.clock.as_ref());
        }
    }

    fn fail(&mut self, reason: &Unavailable) {
        for track in &mut self.tracks {
            track.lose(reason.clone());
        }
    }

    fn account(&mut self) -> Account {
        self.sample();
        let seconds = (self.clock.now() - self.start).as_secs_f64();
        Account { components: self.tracks.iter().map(|track| track.measured(seconds)).collect() }
    }
}

impl Track {
    fn open(source: Box<dyn PowerSource>, clock: &dyn Clock) -> Self {
        let mut track = Self {
            turn: source.turn(),
            source,
            counter: None,
            gaps: Gaps::default(),
            power: None,
            power_at_ends: (false, false),
            power_is_whole: true,
            samples: 0,
            failed_samples: 0,
            failure: None,
            is_lost: false,
        };
        track.sample(clock);
        // What was consumed before a first reading later on would be missing from the total.
        track.is_lost = track.failure.is_some();
        track
    }

    fn sample(&mut self, clock: &dyn Clock) {
        if self.is_lost {
            return;
        }
        self.samples += 1;
        let from = clock.now();
        match self.source.read() {
            Ok(reading) => {
                self.failure = None;
                let at = Moment { from, to: clock.now(), slept: clock.slept() };
                let (energy, watts) = match reading {
                    Reading::Energy(energy) => (Some(energy), None),
                    Reading::Power(watts) => (None, Some(watts)),
                    Reading::EnergyAndPower(energy, watts) => (Some(energy), Some(watts)),
                };
                self.power_at_ends.1 = watts.is_some();
                if self.samples == 1 {
                    self.power_at_ends.0 = watts.is_some();
                }
                if let Some(energy) = energy {
                    self.count(at, energy);
                }
                if let Some(watts) = watts {
                    self.integrate(at, watts);
                }
            }
            Err(reason) => {
                self.failed_samples += 1;
                self.failure = Some(reason);
            }
        }
    }

    fn count(&mut self, at: Moment, value: Joules) {
        let counted = match self.counter {
            Some(last) => match self.step(&last, at, value) {
                Ok(step) => last.counted + step,
                Err(reason) => return self.lose(Unavailable::because(reason)),
            },
            None => Joules(0.0),
        };
        self.counter = Some(Counter { at, value, counted });
    }

    /// Returns what was counted between two values of the counter, or why that cannot be known; where
    /// it may have turned over between them, nothing, and notes the gap.
    fn step(&mut self, last: &Counter, at: Moment, value: Joules) -> Result<Joules, String> {
        let (seconds, slept) = (at.since(&last.at), at.slept_since(&last.at));
        let least = format!("at least {:.0} J were counted before", last.counted.0);
        if self.source.state() == State::Measured && slept > SLEEP_SECONDS {
            return Err(format!("the machine slept for {slept:.0} s, in which counters may start again; {least}"));
        }
        let fell = || format!("the counter fell from {} J to {} J: it was reset", last.value.0, value.0);
        let Some(turn) = self.turn else {
            return if value < last.value { Err(fell()) } else { Ok(value - last.value) };
        };
        if seconds >= turn.seconds() {
            let rest = Joules((value - last.value).0.rem_euclid(turn.range.0));
            self.gaps.add(Gap { seconds, rest, turn });
            return Ok(Joules(0.0));
        }
        let turned = value < last.value;
        let step = if turned { turn.range - last.value + value } else { value - last.value };
        // The counter itself is renewed a little later than it is read.
        if step.0 > turn.highest_watts * (seconds + INTERVAL.as_secs_f64()) {
            let rose = || format!("the counter rose by {:.0} J in {seconds:.1} s, more than can be", step.0);
            return Err(if turned { fell() } else { rose() });
        }
        Ok(step)
    }

    /// Adds the trapezoid between the latest sample and this one.
    fn integrate(&mut self, at: Moment, watts: f64) {
        let mut integral = Joules(0.0);
        if let Some(last) = self.power {
            let seconds = at.to.saturating_sub(last.at.to).as_secs_f64();
            integral = last.integral + Joules(0.5 * (last.watts + watts) * seconds);
            // What a model estimates changes little while the process does nothing.
            if seconds > BRIDGED_SECONDS && self.source.state() == State::Measured {
                self.power_is_whole = false;
                if self.counter.is_none() {
                    return self.lose(Unavailable::because(format!(
                        "power was not read for {seconds:.1} s, as where a process is stopped; at least {:.0} J were \
                         used before",
                        last.integral.0
                    )));
                }
            }
        }
        self.power = Some(Power { at, watts, integral });
    }

    fn lose(&mut self, reason: Unavailable) {
        self.failure = Some(reason);
        self.is_lost = true;
    }

    fn measured(&self, seconds: f64) -> Measured {
        let counted = self.counter.map(|counter| counter.counted);
        let integrated = self.power.map(|power| power.integral);
        let found = match (&self.failure, counted.or(integrated)) {
            (None, Some(joules)) if self.gaps.is_empty() => Ok((joules, self.source.state(), self.source.method())),
            (None, Some(joules)) => self
                .gaps
                .estimate(joules, seconds)
                .map(|(joules, how)| (joules, State::Estimated, format!("{}, {how}", self.source.method()))),
            (None, None) => Err("nothing was read".to_owned()),
            (Some(reason), _) => Err(reason.text()),
        };
        let (joules, state, mut method) = match found {
            Ok((joules, state, method)) => (Some(joules), state, method),
            Err(reason) => (None, State::Unavailable, reason),
        };
        if joules.is_some() && self.failed_samples > 0 {
            method += &format!("; {} of {} samples failed and are bridged", self.failed_samples, self.samples);
        }
        Measured {
            component: self.source.component(),
            name: self.source.name(),
            state,
            joules,
            method,
            seconds,
            cross_check_joules: joules
                .and(counted)
                .and(integrated)
                .filter(|_| self.power_at_ends == (true, true) && self.power_is_whole),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::energy::source::Component;
    use std::collections::VecDeque;

    /// Moves on by one second whenever it is asked.
    #[derive(Default)]
    struct Ticking(Mutex<u64>);

    impl Clock for Ticking {
        fn now(&self) -> Duration {
            let mut seconds = self.0.lock().unwrap();
            *seconds += 1;
            Duration::from_secs(*seconds)
        }
    }

    /// Stands where it was put, at a time and a sleep before it.
    #[derive(Default)]
    struct Standing(Mutex<(Duration, Duration)>);

    impl Standing {
        fn put(&self, seconds: u64) {
            self.0.lock().unwrap().0 = Duration::from_secs(seconds);
        }

        fn sleep(&self, seconds: u64) {
            let slept = Duration::from_secs(seconds);
            let mut clock = self.0.lock().unwrap();
            *clock = (clock.0 + slept, clock.1 + slept);
        }
    }

    impl Clock for Standing {
        fn now(&self) -> Duration {
            self.0.lock().unwrap().0
        }

        fn slept(&self) -> Duration {
            self.0.lock().unwrap().1
        }
    }

    /// Returns the readings it was given, the last one again and again.
    struct Script {
        readings: VecDeque<Result<Reading, Unavailable>>,
        turn: Option<Turn>,
        state: State,
    }

    impl Script {
        fn of(readings: impl IntoIterator<Item = Result<Reading, Unavailable>>) -> Box<dyn PowerSource> {
            Self { readings: readings.into_iter().collect(), turn: None, state: State::Measured }.boxed()
        }

        /// A counter that turns over at 1000 J, in 20 s at the least.
        fn turning(values: impl IntoIterator<Item = f64>) -> Box<dyn PowerSource> {
            let turn = Some(Turn { range: Joules(1000.0), highest_watts: 50.0 });
            Self { readings: values.into_iter().map(energy).collect(), turn, state: State::Measured }.boxed()
        }

        fn boxed(self) -> Box<dyn PowerSource> {
            Box::new(self)
        }
    }

    impl PowerSource for Script {
        fn component(&self) -> Component {
            Component::Gpu
        }

        fn name(&self) -> String {
            "script".to_owned()
        }

        fn state(&self) -> State {
            self.state
        }

        fn method(&self) -> String {
            "script".to_owned()
        }

        fn turn(&self) -> Option<Turn> {
            self.turn
        }

        fn read(&mut self) -> Result<Reading, Unavailable> {
            if self.readings.len() > 1 { self.readings.pop_front().unwrap() } else { self.readings[0].clone() }
        }
    }

    fn energy(joules: f64) -> Result<Reading, Unavailable> {
        Ok(Reading::Energy(Joules(joules)))
    }

    fn failing() -> Result<Reading, Unavailable> {
        Err(Unavailable::because("device lost"))
    }

    /// Reads one source at 0, 2, 3 and 4 seconds.
    fn account(readings: impl IntoIterator<Item = Result<Reading, Unavailable>>) -> Measured {
        read_at([2, 3, 4], Script::of(readings))
    }

    /// Reads one source at 0 and at other seconds.
    fn read_at<const N: usize>(seconds: [u64; N], source: Box<dyn PowerSource>) -> Measured {
        let clock = Arc::new(Standing::default());
        let mut ledger = Ledger::open(vec![source], clock.clone());
        for seconds in &seconds[..N - 1] {
            clock.put(*seconds);
            ledger.sample();
        }
        clock.put(seconds[N - 1]);
        ledger.account().components.remove(0)
    }

    #[test]
    fn a_counter_is_a_difference() {
        let measured = account([energy(1000.0), energy(1010.0), energy(1015.0), energy(1025.0)]);
        assert_eq!((measured.joules, measured.seconds), (Some(Joules(25.0)), 4.0));
        assert_eq!((measured.state, measured.cross_check_joules), (State::Measured, None));
    }

    #[test]
    fn power_is_integrated_by_trapezoids() {
        let watts = [10.0, 20.0, 40.0, 40.0].map(|watts| Ok(Reading::Power(watts)));
        // 15 W for 2 s, 30 W for 1 s, 40 W for 1 s.
        assert_eq!(account(watts).joules, Some(Joules(100.0)));
    }

    #[test]
    fn the_counter_counts_and_power_checks_it() {
        let both = |joules, watts| Ok(Reading::EnergyAndPower(Joules(joules), watts));
        let measured = account([both(5.0, 10.0), both(25.0, 10.0), both(34.0, 10.0), both(47.0, 10.0)]);
        assert_eq!(measured.joules, Some(Joules(42.0)));
        assert_eq!(measured.cross_check_joules, Some(Joules(40.0)));
    }

    #[test]
    fn power_that_is_missing_at_an_end_checks_nothing() {
        let both = |joules| Ok(Reading::EnergyAndPower(Joules(joules), 10.0));
        let bridged = account([both(5.0), energy(25.0), both(34.0), both(47.0)]);
        assert_eq!((bridged.joules, bridged.cross_check_joules), (Some(Joules(42.0)), Some(Joules(40.0))));
        for readings in [vec![energy(5.0), both(25.0)], vec![both(5.0), both(25.0), both(34.0), energy(47.0)]] {
            let measured = account(readings);
            assert!(measured.joules.is_some() && measured.cross_check_joules.is_none());
        }
    }

    #[test]
    fn a_failure_at_either_end_is_unavailable_and_never_zero() {
        for readings in [vec![failing(), energy(5.0)], vec![energy(1.0), energy(2.0), energy(3.0), failing()]] {
            let measured = account(readings);
            assert_eq!((measured.state, measured.joules), (State::Unavailable, None));
            assert_eq!(measured.method, "device lost");
        }
    }

    #[test]
    fn a_failure_in_between_is_bridged_and_said() {
        let measured = account([energy(1.0), failing(), energy(3.0), energy(9.0)]);
        assert_eq!(measured.joules, Some(Joules(8.0)));
        assert_eq!(measured.method, "script; 1 of 4 samples failed and are bridged");
        let watts = |watts| Ok(Reading::Power(watts));
        assert_eq!(account([watts(10.0), failing(), watts(10.0), watts(10.0)]).joules, Some(Joules(40.0)));
    }

    #[test]
    fn a_counter_that_was_reset_is_unavailable() {
        let measured = account([energy(100.0), energy(120.0), energy(3.0), energy(200.0)]);
        assert_eq!((measured.state, measured.joules), (State::Unavailable, None));
        assert_eq!(measured.method, "the counter fell from 120 J to 3 J: it was reset");
    }

    #[test]
    fn a_counter_that_turns_over_goes_on_counting() {
        let measured = read_at([5, 10, 29], Script::turning([900.0, 980.0, 30.0, 780.0]));
        // To the end and 30 J beyond it, then 750 J in 19 s.
        assert_eq!((measured.state, measured.joules), (State::Measured, Some(Joules(80.0 + 50.0 + 750.0))));
    }

    #[test]
    fn a_turn_that_may_have_been_missed_is_estimated_between_bounds() {
        // 50 W, at most 100 W: stopped from 8 to 32 s, the counter turns over once and ends above where
        // it was, as it would without the turn.
        let counter = |values: &[f64]| {
            let turn = Some(Turn { range: Joules(1000.0), highest_watts: 100.0 });
            Script { readings: values.iter().map(|&value| energy(value)).collect(), turn, state: State::Measured }
        };
        let measured = read_at([8, 32, 40], counter(&[0.0, 400.0, 600.0, 0.0]).boxed());
        assert_eq!((measured.state, measured.joules), (State::Estimated, Some(Joules(2000.0))));
        assert_eq!(
            measured.method,
            "script, not read for 24.0 s, as where a process is stopped, and may turn over in 10.0 s at the highest \
             power (assumed): 1000 to 3000 J, estimated as nearest to the mean power of the rest, 50 W"
        );
        // Twice; and a counter that fell, from 400 to 100 J.
        let measured = read_at([8, 32, 40, 74], counter(&[0.0, 400.0, 600.0, 0.0, 700.0]).boxed());
        assert_eq!(measured.joules, Some(Joules(3700.0)));
        let measured = read_at([8, 22], counter(&[0.0, 400.0, 100.0]).boxed());
        assert_eq!(measured.joules, Some(Joules(1100.0)));
        // Failed readings are no readings.
        let failing = Script { readings: [energy(0.0), failing(), energy(900.0)].into(), ..counter(&[]) };
        assert_eq!(read_at([5, 11], failing.boxed()).state, State::Unavailable);
        // The mean power of one second says nothing about minutes.
        let measured = read_at([1, 61], counter(&[0.0, 50.0, 50.0]).boxed());
        assert_eq!((measured.state, measured.joules), (State::Unavailable, None));
        assert!(measured.method.ends_with("50 to 6050 J, and what was read is too little to tell"));
    }

    #[test]
    fn a_stop_between_the_clock_and_the_counter_is_noticed() {
        /// Reads the clock, is stopped for 30 s, and reads the counter; or the other way round.
        struct Stopped(Arc<Standing>, usize);
        impl PowerSource for Stopped {
            fn component(&self) -> Component {
                Component::Cpu
            }
            fn name(&self) -> String {
                "stopped".to_owned()
            }
            fn state(&self) -> State {
                State::Measured
            }
            fn method(&self) -> String {
                "stopped".to_owned()
            }
            fn turn(&self) -> Option<Turn> {
                Some(Turn { range: Joules(1000.0), highest_watts: 50.0 })
            }
            fn read(&mut self) -> Result<Reading, Unavailable> {
                self.1 += 1;
                if self.1 == 2 {
                    self.0.put(31);
                }
                energy(0.0)
            }
        }
        let clock = Arc::new(Standing::default());
        let mut ledger = Ledger::open(vec![Box::new(Stopped(clock.clone(), 0))], clock.clone());
        clock.put(1);
        ledger.sample();
        assert_ne!(ledger.account().components[0].state, State::Measured);
    }

    #[test]
    fn a_counter_that_moves_more_than_can_be_is_not_measured() {
        // Near its end, where only the time tells a reset from a turn.
        let measured = read_at([1, 2], Script::turning([950.0, 960.0, 300.0]));
        assert_eq!(measured.method, "the counter fell from 960 J to 300 J: it was reset");
        let measured = read_at([1, 2], Script::turning([100.0, 110.0, 300.0]));
        assert_eq!(measured.method, "the counter rose by 190 J in 1.0 s, more than can be");
    }

    #[test]
    fn what_a_sleeping_machine_used_is_not_measured() {
        let clock = Arc::new(Standing::default());
        let estimate = Script { readings: [energy(1.0)].into(), turn: None, state: State::Estimated }.boxed();
        let sources = vec![Script::turning([1.0, 2.0]), Script::of([energy(1.0), energy(2.0)]), estimate];
        let mut ledger = Ledger::open(sources, clock.clone());
        clock.sleep(9);
        let account = ledger.account();
        let [turning, counter, estimate] = &account.components[..] else { panic!("{account:?}") };
        for measured in [turning, counter] {
            assert_eq!(measured.joules, None);
            assert!(measured.method.starts_with("the machine slept for 9 s"), "{}", measured.method);
        }
        // Time of the processor stands still with it.
        assert_eq!(estimate.joules, Some(Joules(0.0)));
    }

    #[test]
    fn power_that_nobody_read_is_not_measured() {
        let watts = || [10.0, 10.0, 10.0, 10.0].map(|watts| Ok(Reading::Power(watts)));
        let measured = read_at([2, 26, 27], Script::of(watts()));
        assert_eq!((measured.state, measured.joules), (State::Unavailable, None));
        assert_eq!(
            measured.method,
            "power was not read for 24.0 s, as where a process is stopped; at least 20 J were used before"
        );
        let model = Script { readings: watts().into(), turn: None, state: State::Estimated }.boxed();
        assert_eq!(read_at([2, 26, 27], model).joules, Some(Joules(270.0)));
        // A counter stands without it, and loses its check.
        let both = [5.0, 25.0, 265.0].map(|joules| Ok(Reading::EnergyAndPower(Joules(joules), 10.0)));
        let measured = read_at([2, 26], Script::of(both));
        assert_eq!((measured.joules, measured.cross_check_joules), (Some(Joules(260.0)), None));
    }

    #[test]
    fn the_machine_has_both_clocks() {
        let before = SinceBoot.now();
        assert!(before > Duration::ZERO && SinceBoot.now() >= before);
        assert!(SinceBoot.slept() <= before);
    }

    #[test]
    fn the_thread_samples_until_finish() {
        // 7 W whatever the time: energy is 7 J for each second between first and last reading.
        let meter = Meter::start(vec![Script::of([Ok(Reading::Power(7.0))])], Arc::new(Ticking::default()));
        // However busy the machine: the first reading and three of the thread.
        while lock(&meter.ledger).tracks[0].samples < 4 {
            thread::sleep(INTERVAL);
        }
        let so_far = meter.account().components[0].joules.unwrap();
        let joules = meter.finish().components[0].joules.unwrap();
        assert!(so_far.0 >= 4.0 * 7.0 && joules > so_far, "{so_far:?}, {joules:?}");
        assert_eq!(joules.0 % 7.0, 0.0);
    }

    #[test]
    fn a_source_that_panics_is_unavailable() {
        struct Panics(usize);
        impl PowerSource for Panics {
            fn component(&self) -> Component {
                Component::Gpu
            }
            fn name(&self) -> String {
                "panics".to_owned()
            }
            fn state(&self) -> State {
                State::Measured
            }
            fn method(&self) -> String {
                "panics".to_owned()
            }
            fn read(&mut self) -> Result<Reading, Unavailable> {
                self.0 += 1;
                assert!(self.0 < 2, "the second reading panics");
                energy(1.0)
            }
        }
        let meter = Meter::start(vec![Box::new(Panics(0))], Arc::new(SinceBoot));
        while !meter.thread.is_finished() {
            thread::sleep(INTERVAL);
        }
        let account = meter.finish();
        assert_eq!(account.components[0].joules, None);
        assert_eq!(account.components[0].method, "the sampling thread panicked");
    }
}
