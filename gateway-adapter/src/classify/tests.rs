use super::*;

const CODES: [Code; 16] = [
    Code::Cancelled,
    Code::Unknown,
    Code::InvalidArgument,
    Code::DeadlineExceeded,
    Code::NotFound,
    Code::AlreadyExists,
    Code::PermissionDenied,
    Code::ResourceExhausted,
    Code::FailedPrecondition,
    Code::Aborted,
    Code::OutOfRange,
    Code::Unimplemented,
    Code::Internal,
    Code::Unavailable,
    Code::DataLoss,
    Code::Unauthenticated,
];
const MUTATIONS: [Method; 5] =
    [Method::Create, Method::Delete, Method::Start, Method::Stop, Method::Update];

fn peer(method: Method, code: Code, text: &str) -> Class {
    classify(method, Origin::Peer, code, text)
}

/// The whole table for answers whose text says nothing, written down a second time.
fn expected(method: Method, code: Code) -> Class {
    use Method::{Create, Delete, Exec, Feed, Start, Stop, Update};
    match (code, method) {
        (Code::InvalidArgument, _) | (Code::FailedPrecondition, Create | Update) => Class::Invalid,
        (Code::AlreadyExists, Create) => Class::AlreadyExists,
        (Code::FailedPrecondition, Start | Stop | Delete | Exec | Feed) => Class::WrongPhase,
        (Code::Unauthenticated, _) => Class::Unauthenticated,
        (Code::PermissionDenied, _) => Class::PermissionDenied,
        (Code::ResourceExhausted, _) => Class::Exhausted,
        (Code::DeadlineExceeded, _) => Class::DeadlineExceeded,
        (Code::Unavailable, _) => Class::Unavailable,
        (Code::Unimplemented, _) => Class::Unimplemented,
        (Code::Internal, _) => Class::Internal,
        _ => Class::Unexpected,
    }
}

#[test]
fn every_code_of_every_method_has_its_class() {
    for method in Method::ALL {
        for code in CODES {
            assert_eq!(peer(method, code, "?"), expected(method, code), "{method:?} {code:?}");
        }
    }
}

#[test]
fn not_found_is_told_apart_by_its_text() {
    use Class::{ProviderMissing, RevisionMissing, SandboxMissing, Unexpected, WorkspaceMissing};
    for (method, text, class) in [
        (Method::Get, "sandbox not found", SandboxMissing),
        (Method::Get, "sandbox 'coder' not found", SandboxMissing),
        (Method::Get, "workspace 'default' not found", WorkspaceMissing),
        (Method::Get, "workspace '\n\x07default' not found", WorkspaceMissing),
        (Method::Get, "workspace 'sandbox not found' not found", WorkspaceMissing),
        (Method::Get, "not found", Unexpected),
        (Method::Get, "sandbox pod not found", Unexpected),
        (Method::Get, "no such sandbox not found", Unexpected),
        (Method::Get, "", Unexpected),
        (Method::List, "sandbox not found", Unexpected),
        (Method::List, "workspace 'w' not found", WorkspaceMissing),
        (Method::Create, "sandbox not found", Unexpected),
        (Method::Delete, "sandbox not found", SandboxMissing),
        (Method::Provider, "provider not found", ProviderMissing),
        (Method::Provider, "provider profile not found", Unexpected),
        (Method::Get, "provider not found", Unexpected),
        (Method::PolicyStatus, "no policy revision found for this sandbox", RevisionMissing),
        (Method::PolicyStatus, "no global policy revision found", RevisionMissing),
    ] {
        assert_eq!(peer(method, Code::NotFound, text), class, "{method:?} {text:?}");
    }
}

#[test]
fn texts_that_change_the_meaning_of_a_code() {
    let ours = format!(
        "Error, decoded message length too large: found 99999999 bytes, the limit is: {} bytes",
        crate::vendor::MAX_DECODE
    );
    let theirs = "Error, decoded message length too large: found 2 bytes, the limit is: 1 bytes";
    for (method, code, text, class) in [
        (Method::Get, Code::ResourceExhausted, "gRPC rate limit exceeded", Class::RateLimited),
        (Method::List, Code::OutOfRange, ours.as_str(), Class::Unreadable),
        (Method::Create, Code::OutOfRange, theirs, Class::Invalid),
        (
            Method::Get,
            Code::Unimplemented,
            "grpc-status header missing, mapped from HTTP status code 404",
            Class::TlsFailed,
        ),
        (
            Method::Get,
            Code::Unimplemented,
            "Received http2 header with status: 404",
            Class::TlsFailed,
        ),
        (Method::Get, Code::Internal, "failed to decode Protobuf message: x", Class::Unreadable),
        (Method::Exec, Code::PermissionDenied, "ssh authentication rejected", Class::Unavailable),
        (
            Method::Get,
            Code::PermissionDenied,
            "ssh authentication rejected",
            Class::PermissionDenied,
        ),
        (Method::Exec, Code::Unavailable, "per-sandbox relay limit reached", Class::RateLimited),
    ] {
        assert_eq!(peer(method, code, text), class, "{method:?} {code:?} {text}");
    }
}

#[test]
fn a_broken_connection_is_never_an_answer() {
    for method in Method::ALL {
        for code in CODES {
            for text in ["sandbox not found", "?"] {
                let class = |origin| classify(method, origin, code, text);
                assert_eq!(class(Origin::Tls), Class::TlsFailed);
                assert_eq!(class(Origin::Connect), Class::NotConnected);
                assert!(matches!(
                    class(Origin::Transport),
                    Class::Unavailable | Class::DeadlineExceeded
                ));
            }
        }
    }
}

#[test]
fn mutations_are_not_applied_only_by_codes_given_before_doing_anything() {
    let certain = [
        Code::InvalidArgument,
        Code::AlreadyExists,
        Code::FailedPrecondition,
        Code::PermissionDenied,
        Code::Unauthenticated,
    ];
    for method in MUTATIONS {
        for code in CODES {
            let (outcome, _) = peer(method, code, "?").effect();
            let unsure = code == Code::AlreadyExists && method != Method::Create;
            let expected = if certain.contains(&code) && !unsure {
                Outcome::NotApplied
            } else {
                Outcome::MaybeApplied
            };
            assert_eq!(outcome, expected, "{method:?} {code:?}");
        }
        let not_found = peer(method, Code::NotFound, "sandbox not found").effect().0;
        let maybe = method == Method::Create;
        assert_eq!(not_found == Outcome::MaybeApplied, maybe, "{method:?}");
        assert_eq!(Class::NotConnected.effect().0, Outcome::NotApplied);
    }
}

#[test]
fn an_uncertain_admission_is_perhaps_applied_whatever_its_code() {
    let mut details = tonic_types::ErrorDetails::new();
    details.set_error_info("REQUEST_OUTCOME_UNCERTAIN", "openshell.nvidia.com", []);
    let status = Status::with_error_details(Code::FailedPrecondition, "earlier", details);
    let failure = Failure::of(Method::Create, &status);
    assert_eq!(failure.class.effect().0, Outcome::MaybeApplied);
}

#[test]
fn no_failure_is_ever_an_absence() {
    for method in Method::ALL {
        for code in CODES {
            let class = peer(method, code, "?");
            assert_ne!(class, Class::SandboxMissing);
            assert_ne!(class.unknown(), UnknownReason::Unspecified);
        }
    }
}

#[test]
fn details_are_cut_on_a_character() {
    let failure = Failure::new(Class::Internal, "ä".repeat(2000));
    assert!(failure.detail.len() <= 1024 && failure.detail.ends_with('…'));
}
