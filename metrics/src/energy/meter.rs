//! Samples sources of energy from start to finish.
//!
//! A counter is read at both ends, and in between so that it cannot wrap unseen; power is sampled
//! and integrated by the trapezoidal rule. Work on a GPU runs on after the call that started it:
//! the caller synchronises the device before start and finish.

use super::account::{Account, Measured};
use super::source::{Joules, PowerSource, Reading, State, Unavailable};
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// Time between samples: GPU power sensors renew their value about as often.
pub const INTERVAL: Duration = Duration::from_millis(100);

/// Tells the time that seconds of an account are counted in.
pub trait Clock: Send + Sync {
    /// Returns the time since some fixed moment; never falls.
    fn now(&self) -> Duration;
}

/// The machine's monotonic clock.
#[derive(Debug, Clone, Copy)]
pub struct Monotonic(Instant);

impl Monotonic {
    /// Returns a clock that stands at zero now.
    pub fn start() -> Self {
        Self(Instant::now())
    }
}

impl Clock for Monotonic {
    fn now(&self) -> Duration {
        self.0.elapsed()
    }
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
    /// First and latest value of the counter.
    counter: Option<(Joules, Joules)>,
    /// Latest power with its time, and the energy integrated up to it.
    power: Option<Power>,
    /// Whether the first and the latest reading had a power: between them gaps are bridged.
    power_at_ends: (bool, bool),
    samples: usize,
    failed_samples: usize,
    /// Why the latest reading failed, or why none will count any more.
    failure: Option<Unavailable>,
    is_lost: bool,
}

#[derive(Clone, Copy)]
struct Power {
    time: Duration,
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
            source,
            counter: None,
            power: None,
            power_at_ends: (false, false),
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
        match self.source.read() {
            Ok(reading) => {
                self.failure = None;
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
                    self.count(energy);
                }
                if let Some(watts) = watts {
                    self.integrate(clock.now(), watts);
                }
            }
            Err(reason) => {
                self.failed_samples += 1;
                self.failure = Some(reason);
            }
        }
    }

    fn count(&mut self, energy: Joules) {
        let (first, latest) = self.counter.unwrap_or((energy, energy));
        if energy < latest {
            self.lose(Unavailable::because(format!(
                "the counter fell from {} J to {} J: it was reset",
                latest.0, energy.0
            )));
        } else {
            self.counter = Some((first, energy));
        }
    }

    /// Adds the trapezoid between the latest sample and this one.
    fn integrate(&mut self, time: Duration, watts: f64) {
        let integral = match self.power {
            Some(last) => {
                let seconds = time.saturating_sub(last.time).as_secs_f64();
                last.integral + Joules(0.5 * (last.watts + watts) * seconds)
            }
            None => Joules(0.0),
        };
        self.power = Some(Power { time, watts, integral });
    }

    fn lose(&mut self, reason: Unavailable) {
        self.failure = Some(reason);
        self.is_lost = true;
    }

    fn measured(&self, seconds: f64) -> Measured {
        let counted = self.counter.map(|(first, latest)| latest - first);
        let integrated = self.power.map(|power| power.integral);
        let joules = if self.failure.is_some() { None } else { counted.or(integrated) };
        let method = match &self.failure {
            Some(reason) => reason.text(),
            None if self.failed_samples > 0 => format!(
                "{}; {} of {} samples failed and are bridged",
                self.source.method(),
                self.failed_samples,
                self.samples
            ),
            None => self.source.method(),
        };
        Measured {
            component: self.source.component(),
            name: self.source.name(),
            state: if joules.is_some() { self.source.state() } else { State::Unavailable },
            joules,
            method,
            seconds,
            cross_check_joules: joules.and(counted).and(integrated).filter(|_| self.power_at_ends == (true, true)),
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

    /// Stands where it was put.
    #[derive(Default)]
    struct Standing(Mutex<Duration>);

    impl Standing {
        fn put(&self, seconds: u64) {
            *self.0.lock().unwrap() = Duration::from_secs(seconds);
        }
    }

    impl Clock for Standing {
        fn now(&self) -> Duration {
            *self.0.lock().unwrap()
        }
    }

    /// Returns the readings it was given, the last one again and again.
    struct Script(VecDeque<Result<Reading, Unavailable>>);

    impl Script {
        fn of(readings: impl IntoIterator<Item = Result<Reading, Unavailable>>) -> Box<dyn PowerSource> {
            Box::new(Self(readings.into_iter().collect()))
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
            State::Measured
        }

        fn method(&self) -> String {
            "script".to_owned()
        }

        fn read(&mut self) -> Result<Reading, Unavailable> {
            if self.0.len() > 1 { self.0.pop_front().unwrap() } else { self.0[0].clone() }
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
        let clock = Arc::new(Standing::default());
        let mut ledger = Ledger::open(vec![Script::of(readings)], clock.clone());
        for seconds in [2, 3] {
            clock.put(seconds);
            ledger.sample();
        }
        clock.put(4);
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
        let meter = Meter::start(vec![Box::new(Panics(0))], Arc::new(Monotonic::start()));
        while !meter.thread.is_finished() {
            thread::sleep(INTERVAL);
        }
        let account = meter.finish();
        assert_eq!(account.components[0].joules, None);
        assert_eq!(account.components[0].method, "the sampling thread panicked");
    }
}
