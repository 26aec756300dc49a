//! Commands in a sandbox, and the habits of the vendor's exec.

use salvor_devgateway::{Dialect, Effect, Fault};
use salvor_openshell_wire::v0_0::ExecSandboxRequest;
use std::time::Duration;
use tonic::Code;

use crate::client::{refusal, said};
use crate::{BOTH, Fixture, PATIENCE};

const CLOSED: &str = "exec relay closed before the command reported an exit status";

fn request(command: &[&str]) -> ExecSandboxRequest {
    let command = command.iter().map(|&word| word.to_owned()).collect();
    ExecSandboxRequest { command, ..Default::default() }
}

#[tokio::test]
async fn both_streams_come_back_and_arguments_are_literal() {
    for dialect in BOTH {
        let mut fixture = Fixture::new(dialect).await;
        fixture.ready("agent").await;
        let output = fixture
            .client
            .exec("agent", &["sh", "-c", "echo out; echo err >&2; exit 9"])
            .await
            .unwrap();
        assert_eq!((&output.stdout[..], &output.stderr[..]), (&b"out\n"[..], &b"err\n"[..]));
        assert_eq!(output.exit, Some(9));
        let odd = ["printf", "%s|", "*", "$HOME", ";", "it's", "a\nb", ""];
        let output = fixture.client.exec("agent", &odd).await.unwrap();
        assert_eq!(output.stdout, b"*|$HOME|;|it's|a\nb||");
        let output = fixture.client.exec("agent", &["no-such-program"]).await.unwrap();
        assert_eq!(output.exit, Some(127));
        assert!(String::from_utf8_lossy(&output.stderr).contains("no-such-program"));
    }
}

#[tokio::test]
async fn the_workspace_is_home_and_is_called_sandbox() {
    for dialect in BOTH {
        let mut fixture = Fixture::new(dialect).await;
        fixture.ready("agent").await;
        let root = fixture.control().sandbox("agent").unwrap().root;
        std::fs::write(root.join("marker"), "here").unwrap();
        let script = "test \"$PWD\" = \"$HOME\" && cat /sandbox/marker && mkdir /sandbox/sub";
        let output = fixture.client.exec("agent", &["sh", "-c", script]).await.unwrap();
        assert_eq!((&output.stdout[..], output.exit), (&b"here"[..], Some(0)));
        let inside = ExecSandboxRequest { workdir: "/sandbox/sub".into(), ..request(&["pwd"]) };
        let output = fixture.client.exec_as("agent", inside).await.unwrap();
        assert!(String::from_utf8_lossy(&output.stdout).trim_end().ends_with("/sandbox/sub"));
        let nowhere = ExecSandboxRequest { workdir: "/nowhere".into(), ..request(&["true"]) };
        let output = fixture.client.exec_as("agent", nowhere).await.unwrap();
        assert_eq!((output.exit, output.stderr.is_empty()), (Some(1), false));
    }
}

#[tokio::test]
async fn large_data_passes_both_ways_in_small_pieces() {
    for dialect in BOTH {
        let mut fixture = Fixture::new(dialect).await;
        fixture.ready("agent").await;
        let body: Vec<u8> = (0..900_000_u32).map(|n| n.to_le_bytes()[0]).collect();
        let cat = ExecSandboxRequest { stdin: body.clone(), ..request(&["cat"]) };
        let output = fixture.client.exec_as("agent", cat).await.unwrap();
        assert!(output.stdout == body, "stdin comes back whole");
        assert!(output.largest <= 4096);

        let pieces: Vec<Vec<u8>> = body.chunks(64 * 1024).map(<[u8]>::to_vec).collect();
        let script = "head -c 900000 | cat; echo done >&2";
        let output = fixture
            .client
            .interactive("agent", &["sh", "-c", script], pieces, false)
            .await
            .unwrap();
        assert!(output.stdout == body, "interactive stdin comes back whole");
        assert_eq!((&output.stderr[..], output.exit), (&b"done\n"[..], Some(0)));
    }
}

#[tokio::test]
async fn a_half_close_ends_the_call_in_the_older_dialect_and_only_stdin_in_the_newer() {
    for dialect in BOTH {
        let mut fixture = Fixture::new(dialect).await;
        fixture.ready("agent").await;
        let pieces = vec![b"hello".to_vec()];
        let result = fixture.client.interactive(
            "agent",
            &["sh", "-c", "cat > got; sleep 1000"],
            pieces.clone(),
            true,
        );
        if dialect == Dialect::V0_0 {
            assert_eq!(refusal(result.await), said(Code::Unavailable, CLOSED));
        } else {
            drop(result);
            let output = fixture.client.interactive("agent", &["cat"], pieces, true).await.unwrap();
            assert_eq!((&output.stdout[..], output.exit), (&b"hello"[..], Some(0)));
        }
    }
}

#[tokio::test]
async fn a_timeout_reports_124_and_kills_nothing() {
    for dialect in BOTH {
        let mut fixture = Fixture::new(dialect).await;
        fixture.ready("agent").await;
        let slow = request(&["sh", "-c", "echo begun; sleep 1000"]);
        let slow = ExecSandboxRequest { timeout_seconds: 3, ..slow };
        let output = fixture.client.exec_as("agent", slow).await.unwrap();
        assert_eq!((&output.stdout[..], output.exit), (&b"begun\n"[..], Some(124)));
        let main_and_sleep = fixture.control().sandbox("agent").unwrap().processes;
        assert!(main_and_sleep.len() > 1, "{main_and_sleep:?}");
    }
}

#[tokio::test]
async fn a_cancelled_call_leaves_its_process_running() {
    for dialect in BOTH {
        let mut fixture = Fixture::new(dialect).await;
        fixture.ready("agent").await;
        let script = "echo; while ! test -e go; do sleep 0.01; done; echo lived > proof";
        let mut client = fixture.client.clone();
        let call = tokio::spawn(async move { client.exec("agent", &["sh", "-c", script]).await });
        let control = fixture.control();
        control.wait_for_call(|call| call.succeeded() && !call.command.is_empty(), PATIENCE).await;
        call.abort();
        let _ = call.await;
        let root = control.sandbox("agent").unwrap().root;
        std::fs::write(root.join("go"), "").unwrap();
        let wait = "until test -s proof; do sleep 0.01; done; cat proof";
        let output = fixture.client.exec("agent", &["sh", "-c", wait]).await.unwrap();
        assert_eq!(output.stdout, b"lived\n");
    }
}

#[tokio::test]
async fn an_exec_under_way_is_cut_when_the_sandbox_goes() {
    for dialect in BOTH {
        let mut fixture = Fixture::new(dialect).await;
        fixture.ready("agent").await;
        let mut client = fixture.client.clone();
        let call = tokio::spawn(async move { client.exec("agent", &["sleep", "1000"]).await });
        let control = fixture.control();
        control.wait_for_call(|call| call.succeeded() && !call.command.is_empty(), PATIENCE).await;
        fixture.client.stop("agent").await.unwrap();
        assert_eq!(refusal(call.await.unwrap()), said(Code::Unavailable, CLOSED));
    }
}

/// As when the gateway's relay breaks in the middle of an upload: what has reached the command stays there, and no more comes.
#[tokio::test]
async fn an_upload_is_cut_after_as_many_bytes_as_told() {
    for dialect in BOTH {
        let mut fixture = Fixture::new(dialect).await;
        fixture.ready("agent").await;
        let pieces = || vec![vec![7; 3000]; 4];
        for after in [0, 1, 2999, 3000, 7001, 12_000] {
            let cut = Effect::CutInput { command: "cat > got".into(), after };
            fixture.control().fault(Fault::on("ExecSandboxInteractive", cut).times(1));
            // A name of its own: the call can be over before its command has begun.
            let save = format!("cat > got; mv got got-{after}");
            let save = ["sh", "-c", &save];
            let other = ["sh", "-c", "head -c 12000 | wc -c"];
            let whole = fixture.client.interactive("agent", &other, pieces(), false).await.unwrap();
            assert_eq!(whole.stdout, b"12000\n", "another command is not meant");
            let result = fixture.client.interactive("agent", &save, pieces(), false).await;
            assert_eq!(refusal(result), said(Code::Unavailable, CLOSED));
            let wait =
                format!("until test -e got-{after}; do sleep 0.01; done; wc -c < got-{after}");
            let output = fixture.client.exec("agent", &["sh", "-c", &wait]).await.unwrap();
            assert_eq!(output.stdout, format!("{after}\n").into_bytes());
        }
        assert!(fixture.control().faults().is_empty());
    }
}

#[tokio::test]
async fn the_33rd_exec_at_once_is_refused() {
    for dialect in BOTH {
        let mut fixture = Fixture::new(dialect).await;
        let id = fixture.ready("agent").await.id;
        let control = fixture.control();
        let mut calls = Vec::new();
        for index in 0..32 {
            let mut client = fixture.client.clone();
            calls.push(tokio::spawn(async move { client.exec("agent", &["sleep", "1000"]).await }));
            let seen = || {
                control.calls().iter().filter(|c| c.succeeded() && !c.command.is_empty()).count()
            };
            control.wait_for_call(|_| seen() > index, PATIENCE).await;
        }
        let (code, text) = refusal(fixture.client.exec("agent", &["true"]).await);
        assert_eq!(code, Code::Unavailable);
        assert!(text.contains(&format!("per-sandbox relay limit reached (32 in flight for {id})")));
        fixture.client.delete("agent").await.unwrap();
        for call in calls {
            assert_eq!(refusal(call.await.unwrap()).1, CLOSED);
        }
    }
}

#[tokio::test]
async fn death_by_signal_and_the_supervisors_race_report_1() {
    for dialect in BOTH {
        let mut fixture = Fixture::new(dialect).await;
        fixture.ready("agent").await;
        let output = fixture.client.exec("agent", &["sh", "-c", "kill -9 $$"]).await.unwrap();
        assert_eq!(output.exit, Some(1));
        fixture.control().fault(Fault::on("ExecSandbox", Effect::MisreportExit).times(1));
        let output = fixture.client.exec("agent", &["echo", "fine"]).await.unwrap();
        assert_eq!((&output.stdout[..], output.exit), (&b"fine\n"[..], Some(1)));
        assert_eq!(fixture.client.exec("agent", &["true"]).await.unwrap().exit, Some(0));
    }
}

#[tokio::test]
async fn a_background_child_delays_the_exit_and_survives_it() {
    for dialect in BOTH {
        let mut fixture = Fixture::new(dialect).await;
        fixture.ready("agent").await;
        let script = "(while ! test -e go; do sleep 0.01; done; echo x; echo y > after) & echo now";
        let command = ["sh", "-c", script];
        let call = fixture.client.exec("agent", &command);
        let output = tokio::time::timeout(Duration::from_secs(10), call).await.unwrap().unwrap();
        assert_eq!((&output.stdout[..], output.exit), (&b"now\n"[..], Some(0)));
        let wait = "touch go; until test -s after; do sleep 0.01; done";
        assert_eq!(fixture.client.exec("agent", &["sh", "-c", wait]).await.unwrap().exit, Some(0));
    }
}
