use std::{cell::RefCell, future::pending};

use super::*;

const TTL: Duration = Duration::from_secs(30);

/// What the registry does when it is asked.
#[derive(Clone, Copy)]
enum Does {
    /// Answers after so many seconds.
    Give(u64),
    /// Cannot be reached.
    Fail,
    Hang,
    /// Says that it is another one's.
    Deny,
}

/// Renews by `script`, whose last line goes on for ever. Answers when it was asked, and when and why the lease was given up
/// within five of its times, in seconds since it was got.
async fn run(script: &[Does]) -> (Vec<u64>, Option<(u64, String)>) {
    let since = Instant::now();
    let asked = RefCell::new(Vec::new());
    let ask = || {
        let does = script[asked.borrow().len().min(script.len() - 1)];
        asked.borrow_mut().push(since.elapsed().as_secs());
        async move {
            let refusal = |reason| Error::new(Code::Busy, reason, "as told");
            match does {
                Does::Give(after) => {
                    tokio::time::sleep(Duration::from_secs(after)).await;
                    Ok(())
                }
                Does::Fail => Err(refusal("REGISTRY_UNAVAILABLE")),
                Does::Hang => pending().await,
                Does::Deny => Err(refusal("LEASE_LOST")),
            }
        }
    };
    let of = "gateways/lab/workspaces/default/sandboxes/a".parse().unwrap();
    let lost = timeout(TTL * 5, go_on(TTL, since, &of, ask)).await.ok();
    let lost = lost.map(|error| (since.elapsed().as_secs(), error.reason().to_owned()));
    (asked.into_inner(), lost)
}

#[tokio::test(start_paused = true)]
async fn it_is_renewed_three_times_within_its_time() {
    let (asked, lost) = run(&[Does::Give(0)]).await;
    assert_eq!((&asked[..3], lost), (&[10, 20, 30][..], None));
}

#[tokio::test(start_paused = true)]
async fn one_call_that_hangs_costs_no_lease() {
    let (asked, lost) = run(&[Does::Hang, Does::Give(0)]).await;
    assert_eq!((&asked[..3], lost), (&[10, 20, 30][..], None));
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_comes_late_counts_from_when_it_was_asked_for() {
    let (asked, lost) = run(&[Does::Give(19), Does::Hang]).await;
    assert_eq!((asked, lost), (vec![10, 20, 30], Some((40, "REGISTRY_UNAVAILABLE".into()))));
    let (asked, lost) = run(&[Does::Give(19)]).await;
    assert_eq!((&asked[..3], lost), (&[10, 20, 30][..], None));
}

#[tokio::test(start_paused = true)]
async fn what_fails_at_once_is_tried_again_sooner() {
    let (asked, lost) = run(&[Does::Fail, Does::Fail, Does::Give(0)]).await;
    assert_eq!((&asked[..4], lost), (&[10, 15, 20, 30][..], None));
}

#[tokio::test(start_paused = true)]
async fn nobody_works_past_its_time_whatever_the_registry_does() {
    for script in [&[Does::Hang][..], &[Does::Fail], &[Does::Fail, Does::Hang]] {
        let (_, lost) = run(script).await;
        assert_eq!(lost, Some((30, "REGISTRY_UNAVAILABLE".into())));
    }
}

#[tokio::test(start_paused = true)]
async fn one_that_is_another_ones_is_given_up_at_once() {
    assert_eq!(run(&[Does::Deny]).await, (vec![10], Some((10, "LEASE_LOST".into()))));
}
