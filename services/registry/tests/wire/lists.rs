//! Lists and their pages.

use salvor_proto::registry::v1::*;
use tonic::Code;

use crate::support::*;

fn names(response: &ListSandboxesResponse) -> Vec<&str> {
    response.sandboxes.iter().map(|sandbox| sandbox.name.as_str()).collect()
}

#[tokio::test]
async fn parents_wildcards_and_the_exact_name_select() {
    let mut harness = Harness::start().await;
    let all = [
        "gateways/edge/workspaces/default/sandboxes/a",
        "gateways/edge/workspaces/team/sandboxes/b",
        "gateways/lab/workspaces/default/sandboxes/a",
        "gateways/lab/workspaces/default/sandboxes/ab",
        "gateways/lab/workspaces/team/sandboxes/a",
    ];
    for name in all.iter().rev() {
        harness.create(name).await;
    }
    for (parent, sandbox, expected) in [
        ("", "", vec![0, 1, 2, 3, 4]),
        ("gateways/-/workspaces/-", "", vec![0, 1, 2, 3, 4]),
        ("gateways/lab/workspaces/-", "", vec![2, 3, 4]),
        ("gateways/-/workspaces/team", "", vec![1, 4]),
        ("gateways/lab/workspaces/default", "", vec![2, 3]),
        ("gateways/lab/workspaces/default", "a", vec![2]),
        ("", "a", vec![0, 2, 4]),
        ("", "no", vec![]),
        ("gateways/none/workspaces/-", "", vec![]),
    ] {
        let request = ListSandboxesRequest {
            parent: parent.into(),
            sandbox: sandbox.into(),
            ..Default::default()
        };
        let response = harness.client.list_sandboxes(request).await.unwrap().into_inner();
        let expected: Vec<&str> = expected.into_iter().map(|index: usize| all[index]).collect();
        assert_eq!(names(&response), expected, "{parent:?} {sandbox:?}");
        assert!(response.next_page_token.is_empty());
    }
}

#[tokio::test]
async fn tombstones_are_listed_on_request() {
    let mut harness = Harness::start().await;
    let a = harness.create("a").await;
    harness.create("b").await;
    let delete = DeleteSandboxRequest { name: a.name, etag: a.etag, ..Default::default() };
    harness.client.delete_sandbox(delete).await.unwrap();
    let response =
        harness.client.list_sandboxes(ListSandboxesRequest::default()).await.unwrap().into_inner();
    assert_eq!(names(&response), [record("b")]);
    assert_eq!(names(&harness.list().await), [record("a"), record("b")]);
}

#[tokio::test]
async fn all_pages_show_one_revision_whatever_is_written_in_between() {
    let mut harness = Harness::start().await;
    for name in ["a", "b", "c", "d"] {
        harness.create(name).await;
    }
    let expected = harness.list().await;
    let mut request =
        ListSandboxesRequest { page_size: 1, show_deleted: true, ..Default::default() };
    let mut shown = Vec::new();
    loop {
        let page = harness.client.list_sandboxes(request.clone()).await.unwrap().into_inner();
        assert_eq!(page.revision, expected.revision);
        shown.extend(page.sandboxes);
        if page.next_page_token.is_empty() {
            break;
        }
        request.page_token = page.next_page_token;
        // One is changed, one destroyed, one made the default, one comes in.
        let present = harness.get(&record("d")).await.unwrap();
        let change = Sandbox { live_id: format!("{}x", present.live_id), ..present };
        harness.client.update_sandbox(update(&change, &["live_id"])).await.unwrap();
        let default = SetDefaultSandboxRequest { name: record("d") };
        harness.client.set_default_sandbox(default).await.unwrap();
        let created = harness.create(&format!("c{}", shown.len())).await;
        if let Ok(c) = harness.get(&record("c")).await
            && c.delete_time.is_none()
        {
            let delete = DeleteSandboxRequest { name: c.name, etag: c.etag, ..Default::default() };
            harness.client.delete_sandbox(delete).await.unwrap();
        }
        assert!(created.revision > expected.revision);
    }
    let openable_now = |sandbox: Sandbox| {
        // Whether the registry can open it is said as of now.
        let mut sandbox = sandbox;
        sandbox.spec.as_mut().unwrap().openable = false;
        sandbox.policy.as_mut().unwrap().openable = false;
        sandbox
    };
    let shown: Vec<Sandbox> = shown.into_iter().map(openable_now).collect();
    let expected: Vec<Sandbox> = expected.sandboxes.into_iter().map(openable_now).collect();
    assert_eq!(shown, expected);
}

#[tokio::test]
async fn a_page_token_is_good_for_its_own_list_only() {
    let mut harness = Harness::start().await;
    for name in ["a", "b", "c"] {
        harness.create(name).await;
    }
    let first = ListSandboxesRequest { page_size: 1, ..Default::default() };
    let token =
        harness.client.list_sandboxes(first.clone()).await.unwrap().into_inner().next_page_token;
    let next = ListSandboxesRequest { page_token: token.clone(), ..first.clone() };
    for request in [
        ListSandboxesRequest { page_size: 2, ..next.clone() },
        ListSandboxesRequest { parent: "gateways/-/workspaces/-".into(), ..next.clone() },
        ListSandboxesRequest { sandbox: "a".into(), ..next.clone() },
        ListSandboxesRequest { show_deleted: true, ..next.clone() },
        ListSandboxesRequest { page_token: "nonsense".into(), ..next.clone() },
        ListSandboxesRequest { page_token: format!("{token}00"), ..next.clone() },
    ] {
        refused_field(harness.client.list_sandboxes(request).await, "page_token");
    }
    let gateways = ListGatewaysRequest { page_token: token, page_size: 1 };
    refused_field(harness.client.list_gateways(gateways).await, "page_token");
    let mut harness = harness.restart(|_| {}).await;
    let page = harness.client.list_sandboxes(next).await.unwrap().into_inner();
    assert_eq!(names(&page), [record("b")]);
}

#[tokio::test]
async fn a_list_whose_revision_was_compacted_is_to_be_begun_again() {
    let mut harness = Harness::start_with(|config| config.change_log_retention = 4).await;
    let mut a = harness.create("a").await;
    harness.create("b").await;
    let first = ListSandboxesRequest { page_size: 1, ..Default::default() };
    let page = harness.client.list_sandboxes(first.clone()).await.unwrap().into_inner();
    for index in 0..8 {
        let change = Sandbox { live_id: index.to_string(), ..a };
        a = harness.client.update_sandbox(update(&change, &["live_id"])).await.sandbox();
    }
    let next = ListSandboxesRequest { page_token: page.next_page_token, ..first.clone() };
    let received =
        refused(harness.client.list_sandboxes(next).await, Code::OutOfRange, "REVISION_COMPACTED");
    let oldest: i64 = received.metadata["oldest_revision"].parse().unwrap();
    assert_eq!(oldest, a.revision - 4);
    harness.client.list_sandboxes(first).await.unwrap();
}
