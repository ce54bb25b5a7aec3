//! The nineteen scenarios over three graphs, rebuilt from the paper's description, with what must come of each.

use fingerpost_agents::self_healing::{Ending, GraphFile, Task, ToolGraph};

/// One scenario.
pub(crate) struct Scenario {
    pub(crate) name: &'static str,
    pub(crate) graph: &'static str,
    pub(crate) down: &'static [&'static str],
    pub(crate) amount: Option<f64>,
    pub(crate) ending: Ending,
    pub(crate) goal: &'static str,
    pub(crate) llm_calls: u32,
}

pub(crate) const GRAPHS: [(&str, &str); 3] = [
    ("linear", include_str!("support.yaml")),
    ("DAG", include_str!("travel.yaml")),
    ("fan-out", include_str!("moderation.yaml")),
];

/// The graph of this name, without defects.
pub(crate) fn graph(name: &str) -> ToolGraph {
    let (_, text) = GRAPHS
        .iter()
        .find(|(known, _)| *known == name)
        .expect("one of three");
    let (graph, defects) = ToolGraph::new(&GraphFile::parse(text).expect("reads")).expect("stands");
    assert!(defects.is_empty(), "{defects:?}");
    graph
}

const fn of(
    graph: &'static str,
    name: &'static str,
    down: &'static [&'static str],
    ending: Ending,
    goal: &'static str,
    llm_calls: u32,
) -> Scenario {
    Scenario {
        name,
        graph,
        down,
        amount: None,
        ending,
        goal,
        llm_calls,
    }
}

pub(crate) const ALL: [Scenario; 19] = {
    use Ending::{Completed, Demoted, Held};
    [
        of("linear", "all up", &[], Completed, "resolved", 0),
        of("linear", "bank down", &["pay_bank"], Completed, "resolved", 0),
        of("linear", "mail down", &["notify_email"], Completed, "resolved", 0),
        of(
            "linear",
            "bank and mail down",
            &["pay_bank", "notify_email"],
            Completed,
            "resolved",
            0,
        ),
        of(
            "linear",
            "nobody pays",
            &["pay_bank", "pay_wallet"],
            Demoted,
            "ticket_opened",
            1,
        ),
        of(
            "linear",
            "nobody notifies",
            &["notify_email", "notify_sms"],
            Demoted,
            "refunded_unnotified",
            1,
        ),
        Scenario {
            amount: Some(15_000.0),
            ..of("linear", "a large refund", &[], Completed, "resolved", 1)
        },
        of("DAG", "all up", &[], Completed, "booked_and_told", 0),
        of(
            "DAG",
            "one airline down",
            &["flight_alpha"],
            Completed,
            "booked_and_told",
            0,
        ),
        of(
            "DAG",
            "airline, hotel and card down",
            &["flight_alpha", "hotel_alpha", "pay_card"],
            Completed,
            "booked_and_told",
            0,
        ),
        of(
            "DAG",
            "no airline",
            &["flight_alpha", "flight_beta"],
            Completed,
            "booked_and_told",
            0,
        ),
        of(
            "DAG",
            "no hotel, seen after the flight",
            &["hotel_alpha", "hotel_beta"],
            Completed,
            "booked_and_told",
            0,
        ),
        of(
            "DAG",
            "no airline and no package",
            &["flight_alpha", "flight_beta", "package"],
            Demoted,
            "quoted",
            1,
        ),
        of("fan-out", "all up", &[], Completed, "moderated", 0),
        of(
            "fan-out",
            "text model down",
            &["text_model"],
            Completed,
            "moderated",
            0,
        ),
        of(
            "fan-out",
            "text and image models down",
            &["text_model", "image_model"],
            Completed,
            "moderated",
            0,
        ),
        of("fan-out", "history down", &["history"], Completed, "moderated", 0),
        of(
            "fan-out",
            "history and links down",
            &["history", "link_scan", "link_list"],
            Held,
            "moderated",
            0,
        ),
        of(
            "fan-out",
            "nothing reads text",
            &["text_model", "text_rules"],
            Held,
            "moderated",
            0,
        ),
    ]
};

impl Scenario {
    pub(crate) fn task(&self) -> Task {
        Task {
            amount: self.amount,
            key: "scenario".to_owned(),
            ..Task::new("as usual, please")
        }
    }
}
