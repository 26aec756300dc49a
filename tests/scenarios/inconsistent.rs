//! T06: a gateway whose answers contradict each other has proven nothing.

use salvor_devgateway::{Control, Dialect, Effect, Fault};
use salvor_proto::recovery::v1::Verdict;
use salvor_testkit::{Fleet, Options};
use tonic::Code;

use crate::{
    support::{AUTO, REBUILD, seed},
    witness::{Witness, adopted, destroy_refused, in_both_dialects, refused, verdict},
};

const CONTRADICTIONS: &[fn(&Control)] = &[
    |lab| lab.fault(Fault::on("ListSandboxes", Effect::OmitFromList).for_sandbox("coder")),
    |lab| lab.fault(Fault::on("GetSandbox", Effect::OmitSpec).for_sandbox("coder")),
    |lab| lab.fault(Fault::fail("GetSandbox", Code::NotFound, "sandbox not found")),
];

in_both_dialects! {
    async fn t06_contradicting_answers_are_neither_a_loss_nor_a_presence(dialect: Dialect) {
        let gateways = vec![("lab", dialect)];
        let fleet = Fleet::start(Options { gateways, ..Options::default() }).await.unwrap();
        let (name, id) = adopted(&fleet, "lab", "coder", &seed()).await;
        let lab = &fleet.gateway("lab").control;
        let before = Witness::of(&fleet, &[&name]).await;
        for contradict in CONTRADICTIONS {
            contradict(lab);
            for path in [REBUILD, AUTO] {
                refused(&fleet, &name, path, Code::Unavailable, "GATEWAY_INCONSISTENT").await;
            }
            destroy_refused(&fleet, &name, Code::Unavailable, "GATEWAY_INCONSISTENT").await;
            assert_eq!(verdict(&fleet, &name).await.verdict(), Verdict::Unknown);
            lab.clear_faults();
        }
        before.assert_untouched(&fleet).await;
        assert_eq!(verdict(&fleet, &name).await.verdict(), Verdict::Live);
        assert_eq!(lab.sandbox("coder").unwrap().id, id);
        fleet.stop().await;
    }

    /// A row that a page break repeats is one row.
    async fn t06_a_row_listed_twice_is_no_contradiction(dialect: Dialect) {
        let gateways = vec![("lab", dialect)];
        let fleet = Fleet::start(Options { gateways, ..Options::default() }).await.unwrap();
        let (name, _) = adopted(&fleet, "lab", "coder", &seed()).await;
        fleet.gateway("lab").control.fault(Fault::on("ListSandboxes", Effect::ListTwice));
        assert_eq!(verdict(&fleet, &name).await.verdict(), Verdict::Live);
        fleet.stop().await;
    }
}
