//! Tenants of a real ledger.

use http::Request;
use tower_storage_guard::{Ledger, Limit, Monitor, StatusService};

use crate::support::ask;

async fn json(status: StatusService) -> serde_json::Value {
    let (_, text) = ask(status, Request::get("/?format=json").body(()).unwrap()).await;
    serde_json::from_str(&text).expect("JSON")
}

#[tokio::test]
async fn a_ledger_tells_of_its_tenants() {
    let ledger = Ledger::builder()
        .default_limit(Limit::bytes(1000))
        .build()
        .expect("valid");
    ledger.set_limit("anna", Limit::UNLIMITED).expect("set");
    for (tenant, stored) in [("anna", 5000), ("ben", 100), ("cleo", 900), ("dora", 400)] {
        ledger.charge(tenant, stored);
    }
    let _grant = ledger.try_reserve("dora", 300).expect("fits");
    let monitor = Monitor::builder()
        .tenants(ledger.clone())
        .manual()
        .build()
        .expect("valid");
    assert_eq!(monitor.snapshot().fullest_tenants, [], "nobody has asked for them");
    assert_eq!(json(StatusService::new(monitor.clone())).await["tenants"]["tracked"], 4);

    let status = StatusService::new(monitor.clone()).show_tenants(true);
    let told = json(status.clone()).await;
    let names: Vec<_> = told["tenants"]["fullest"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|row| row["name"].as_str().expect("a name"))
        .collect();
    assert_eq!(names, ["cleo", "dora", "ben", "anna"]);
    let dora = &told["tenants"]["fullest"][1];
    assert_eq!(
        (&dora["used"], &dora["reserved"], &dora["limit"]),
        (&400.into(), &300.into(), &1000.into())
    );
    assert_eq!(told["tenants"]["fullest"][3]["limit"], serde_json::Value::Null);
    assert!(
        told["tenants"].get("engine_reachable").is_none(),
        "in memory there is no engine"
    );

    // A few seconds later it is looked at again.
    ledger.credit("cleo", 900);
    for _ in 0..5 {
        monitor.tick();
    }
    assert_eq!(json(status).await["tenants"]["fullest"][0]["name"], "dora");
}
