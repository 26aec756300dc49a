//! A server that goes silent under the journal: what is sent to it vanishes, and a new connection finds one that answers.

use salvor_testkit::store::{skipped_without_a_server, somebody_waits_for};
use salvor_testkit::wait::PATIENCE;
use tokio::time::timeout;

use super::*;

async fn in_time<T>(asked: impl Future<Output = T>) -> T {
    timeout(PATIENCE, asked).await.expect("an answer, or that there is none")
}

/// The server has the row in hand, and nobody hears whether it writes it.
#[tokio::test]
async fn an_append_that_a_silent_server_swallows_is_away_and_the_journal_goes_on() {
    if skipped_without_a_server("a server can go silent") {
        return;
    }
    let place = place();
    let (location, way) = place.store.beyond_a_way().await.unwrap();
    let answer_timeout = Duration::from_secs(5);
    let options = Options { answer_timeout, busy_timeout: PATIENCE, ..Options::default() };
    let journal = Journal::open_with(&location, None, options).await.unwrap();
    let header = header("recoveries/a", 7);
    journal.accept(&header, &[]).await.unwrap();
    let beside = place.store.open().await;
    let mut holder = beside.begin().await.unwrap();
    sqlx::raw_sql("LOCK TABLE journal").execute(&mut *holder).await.unwrap();
    let (appending, name) = (journal.clone(), header.name.clone());
    let appending = async move { appending.append(&name, &row(1, false), FENCE).await };
    let appending = tokio::spawn(appending);
    somebody_waits_for(&mut holder, &beside).await;
    way.swallow();
    let (reading, name) = (journal.clone(), header.name.clone());
    let reading = tokio::spawn(async move { reading.recovery(&name).await });
    holder.commit().await.unwrap();
    let error = in_time(appending).await.unwrap().unwrap_err();
    assert_eq!((error.code(), error.reason()), (Code::Unavailable, "STORAGE_AWAY"));
    // It was begun on a connection that nobody had used meanwhile.
    in_time(reading).await.unwrap().unwrap();
    in_time(journal.take_over(&header.name, Fence(8))).await.unwrap();
    if let Err(error) = in_time(journal.append(&header.name, &row(1, false), Fence(8))).await {
        assert_eq!(error.reason(), "JOURNAL_CONFLICT", "it wrote it: {error}");
    }
    in_time(journal.append(&header.name, &row(2, false), Fence(8))).await.unwrap();
    let stored = in_time(journal.recovery(&header.name)).await.unwrap().unwrap();
    assert_eq!(stored.events.len(), 2, "each once");
}
