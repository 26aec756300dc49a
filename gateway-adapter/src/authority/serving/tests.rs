use salvor_runtime::{ManualClock, Timestamp};
use tokio::time::advance;

use super::*;

const LAB: &str = "gateways/lab";
const TTL: Duration = Duration::from_secs(15);

fn serving() -> (Serving, Arc<ManualClock>) {
    let clock = Arc::new(ManualClock::at(Timestamp(1_000_000)));
    let serving = Serving::new(Arc::<ManualClock>::clone(&clock));
    (serving, clock)
}

fn refused(serving: &Serving) -> String {
    assert_eq!(serving.epoch(LAB), None);
    serving.check(LAB).unwrap_err().reason().to_owned()
}

#[tokio::test(start_paused = true)]
async fn it_is_sure_for_less_than_was_granted_from_before_it_asked() {
    let (serving, clock) = serving();
    assert_eq!(refused(&serving), "SERVING_NOT_SURE");
    let asked = serving.now();
    // The answer takes its time.
    advance(Duration::from_secs(2)).await;
    serving.held(LAB, 7, asked, TTL);
    clock.advance(Duration::from_secs(2));
    serving.check(LAB).unwrap();
    assert_eq!(serving.epoch(LAB), Some(7));
    advance(Duration::from_millis(9_999)).await;
    serving.check(LAB).unwrap();
    advance(Duration::from_millis(1)).await;
    assert_eq!(refused(&serving), "SERVING_NOT_SURE");
    // A renewal makes it sure again.
    serving.held(LAB, 7, serving.now(), TTL);
    serving.check(LAB).unwrap();
}

/// A host that slept: the monotonic clock stood still.
#[tokio::test(start_paused = true)]
async fn a_wall_clock_that_jumped_ends_it_and_one_set_back_does_not_prolong_it() {
    let (serving, clock) = serving();
    serving.held(LAB, 7, serving.now(), TTL);
    clock.advance(Duration::from_secs(12));
    assert_eq!(refused(&serving), "SERVING_NOT_SURE");
    serving.held(LAB, 7, serving.now(), TTL);
    clock.set(Timestamp(1));
    advance(Duration::from_secs(12)).await;
    assert_eq!(refused(&serving), "SERVING_NOT_SURE");
}

#[tokio::test(start_paused = true)]
async fn who_has_it_instead_and_until_when_is_named() {
    let (serving, _) = serving();
    serving.held(LAB, 7, serving.now(), TTL);
    let holder = "b@two/2".to_owned();
    serving.elsewhere(LAB, &Elsewhere { holder, until: "2026-01-01T00:00:00Z".into() });
    let error = serving.check(LAB).unwrap_err();
    assert_eq!(error.reason(), "GATEWAY_SERVED_ELSEWHERE");
    assert!(error.message().contains("b@two/2"), "{error}");
    assert!(error.message().contains("2026-01-01T00:00:00Z"), "{error}");
    // Of others nothing is said by that.
    serving.held("gateways/other", 1, serving.now(), TTL);
    serving.check("gateways/other").unwrap();
}

#[tokio::test(start_paused = true)]
async fn an_effect_waits_for_the_first_word_and_not_for_ever() {
    let (serving, _) = serving();
    let serving = Arc::new(serving);
    let begun = Instant::now();
    serving.settled(LAB).await;
    assert_eq!(begun.elapsed(), WORD);
    let told = Arc::clone(&serving);
    tokio::spawn(async move { told.held(LAB, 7, told.now(), TTL) });
    serving.settled(LAB).await;
    assert_eq!(begun.elapsed(), WORD);
    serving.check(LAB).unwrap();
}

/// It need not wait for the next renewal.
#[tokio::test(start_paused = true)]
async fn an_effect_after_a_clock_was_set_has_it_asked_for_again() {
    let (serving, clock) = serving();
    serving.held(LAB, 7, serving.now(), TTL);
    let serving = Arc::new(serving);
    let keeper = Arc::clone(&serving);
    let keeping = tokio::spawn(async move {
        keeper.doubted(LAB).await;
        assert_eq!(keeper.epoch(LAB), None);
        keeper.held(LAB, 7, keeper.now(), TTL);
    });
    serving.settled(LAB).await;
    assert!(!keeping.is_finished(), "nobody doubts what both clocks say");
    clock.advance(Duration::from_hours(1));
    let begun = Instant::now();
    serving.settled(LAB).await;
    serving.check(LAB).unwrap();
    assert_eq!(begun.elapsed(), Duration::ZERO);
    keeping.await.unwrap();
    clock.advance(Duration::from_hours(1));
    serving.settled(LAB).await;
    assert_eq!((begun.elapsed(), refused(&serving)), (WORD, "SERVING_NOT_SURE".to_owned()));
    assert_eq!(serving.forget(LAB), Some(7), "it is still given back");
}

#[tokio::test(start_paused = true)]
async fn what_is_given_back_or_lost_is_not_held_any_more() {
    let (serving, _) = serving();
    serving.held(LAB, 7, serving.now(), TTL);
    assert_eq!(serving.forget(LAB), Some(7));
    assert_eq!((serving.forget(LAB), serving.gateways()), (None, Vec::new()));
    assert_eq!(refused(&serving), "SERVING_NOT_SURE");
    serving.held(LAB, 8, serving.now(), TTL);
    serving.asking(LAB);
    assert_eq!(refused(&serving), "SERVING_NOT_SURE");
}
