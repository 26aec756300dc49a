use super::*;
use crate::workspace::many::{Many, rules};

async fn surveyed(below: usize, at_most: usize) -> Survey {
    survey(&Many(below), &rules(&["/one", "/two"]), None, at_most).await.unwrap()
}

#[tokio::test]
async fn as_many_as_may_be_are_listed_whole() {
    // Each root has itself, its files, and a directory that is left out.
    let listed = surveyed(20, 42).await;
    assert!(listed.issues.is_empty());
    assert!(listed.roots.iter().all(|root| root.whole && root.entries.len() == 21));
    assert_eq!(listed.left_out.count(), 2, "what is below it is not even counted");
}

#[tokio::test]
async fn one_more_is_an_issue_of_its_own_and_its_root_is_not_whole() {
    for (at_most, whole) in [(41, [true, false]), (21, [true, false]), (5, [false, false])] {
        let listed = surveyed(20, at_most).await;
        assert_eq!([listed.roots[0].whole, listed.roots[1].whole], whole, "{at_most}");
        let held: usize = listed.roots.iter().map(|root| root.entries.len()).sum();
        assert_eq!(held, at_most, "no more than that are held");
        let issues = listed.issues.to_proto();
        assert_eq!(issues.len(), whole.iter().filter(|whole| !**whole).count());
        assert!(issues.iter().all(|issue| issue.reason == "TOO_MANY_ENTRIES"), "{issues:?}");
        let said = format!("there are more than {at_most} entries below the roots");
        assert!(issues.iter().all(|issue| issue.detail == said), "{issues:?}");
    }
}
