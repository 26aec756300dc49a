//! A server that goes silent, as when its host is lost or its address fails over: what is sent to it vanishes, nothing is refused,
//! and a new connection finds one that answers.

use salvor_testkit::cut::Way;
use salvor_testkit::store::somebody_waits_for;

use super::*;

/// Shorter than it is in earnest, and long enough for what does answer.
const ANSWER: Duration = Duration::from_secs(5);

/// An answer, or that there is none.
async fn in_time<T>(asked: impl Future<Output = T>) -> T {
    timeout(PATIENCE, asked).await.unwrap()
}

/// By a way, with one connection of each kind.
async fn by_a_way(store: &Store) -> (Database, Way) {
    let (location, way) = store.beyond_a_way().await.unwrap();
    let options = Options {
        readers: 1,
        answer_timeout: ANSWER,
        busy_timeout: PATIENCE,
        ..Options::default()
    };
    (Database::open(&location, options, &[V1]).await.unwrap(), way)
}

#[track_caller]
fn is_away<T>(answer: Result<T, sqlx::Error>) {
    let error = answer.err().unwrap();
    assert_eq!(Failure::of(&error), Failure::Away, "{error}");
}

#[tokio::test]
async fn a_commit_to_a_silent_server_is_away_and_the_next_one_is_made() {
    let Some(store) = schema() else { return };
    let (database, way) = by_a_way(&store).await;
    let insert_in = async |id: i64, swallowed: bool| {
        let mut transaction = in_time(database.begin()).await.unwrap();
        let insert = sqlx::query("INSERT INTO rows (id, name) VALUES ($1, '')").bind(id);
        insert.execute(&mut *transaction).await.unwrap();
        if swallowed {
            way.swallow();
        }
        in_time(transaction.commit()).await
    };
    is_away(insert_in(1, true).await);
    insert_in(2, false).await.unwrap();
    is_away(insert_in(3, true).await);
    // Nothing of it is done before the server has ended it.
    insert_in(4, false).await.unwrap();
    assert_eq!(count(&database).await, 2);
}

#[tokio::test]
async fn a_silent_connection_is_asked_once_and_its_place_is_free_again() {
    let Some(store) = schema() else { return };
    let (database, way) = by_a_way(&store).await;
    let rows = || sqlx::query_scalar::<_, i64>("SELECT count(*) FROM rows");
    for _ in 0..2 {
        let mut view = in_time(database.view()).await.unwrap();
        way.swallow();
        is_away(in_time(rows().fetch_one(&mut *view)).await);
        let again = timeout(ANSWER / 2, rows().fetch_one(&mut *view)).await;
        is_away(again.expect("what is known to be silent is not asked again"));
    }
    // Dropped before it was found out.
    let view = in_time(database.view()).await.unwrap();
    way.swallow();
    drop(view);
    assert_eq!(in_time(count(&database)).await, 0);
}

#[tokio::test]
async fn a_statement_that_a_silent_server_has_in_hand_is_away_and_the_next_one_is_answered() {
    let Some(store) = schema() else { return };
    let (database, way) = by_a_way(&store).await;
    let beside = store.open().await;
    let mut holder = beside.begin().await.unwrap();
    sqlx::raw_sql("LOCK TABLE rows").execute(&mut *holder).await.unwrap();
    let reading = database.clone();
    let read = || sqlx::query("SELECT name FROM rows WHERE id = 1");
    let reading = tokio::spawn(async move { read().fetch_all(reading.readers()).await });
    let writing = database.clone();
    let writing = tokio::spawn(async move { insert(writing.writer(), 1, "one").await });
    somebody_waits_for(&mut holder, &beside).await;
    way.swallow();
    is_away(in_time(reading).await.unwrap());
    is_away(in_time(writing).await.unwrap());
    holder.rollback().await.unwrap();
    assert!(in_time(read().fetch_all(database.readers())).await.unwrap().len() <= 1);
    in_time(insert(database.writer(), 2, "two")).await.unwrap();
}

#[tokio::test]
async fn a_connection_that_went_silent_while_nobody_used_it_is_replaced_unnoticed() {
    let Some(store) = schema() else { return };
    let (database, way) = by_a_way(&store).await;
    insert(database.writer(), 1, "").await.unwrap();
    assert_eq!(count(&database).await, 1);
    way.swallow();
    in_time(insert(database.writer(), 2, "")).await.unwrap();
    assert_eq!(in_time(count(&database)).await, 2);
    way.swallow();
    in_time(database.begin()).await.unwrap().commit().await.unwrap();
    let row = sqlx::query("SELECT name FROM rows WHERE id = 2");
    assert!(in_time(row.fetch_optional(database.readers())).await.unwrap().is_some());
}

#[tokio::test]
async fn closing_waits_for_no_silent_server() {
    let Some(store) = schema() else { return };
    let (database, way) = by_a_way(&store).await;
    let _held = database.begin().await.unwrap();
    let view = database.view().await.unwrap();
    way.swallow();
    drop(view);
    in_time(database.close()).await;
    is_away(in_time(database.view()).await);
}
