//! Counters of the config's own.

use crate::rig::{
    Config, Daemon, Load,
    client::{ask, get, request},
};

/// Everything is answered by the daemon itself, with a status by the path.
fn answering(rest: &str) -> Config {
    let site = "[[site]]\nname = \"main\"\n\
                [[site.route]]\npath = \"/bad/*\"\nrespond = { status = 503, body = \"x\" }\n\
                [[site.route]]\nname = \"good\"\npath = \"/*\"\nrespond = { body = \"four\" }\n";
    Config::bare().rest(site).rest(rest).quiet()
}

const ORDERS: &str = "[metrics.custom.orders]\nhelp = \"Orders processed.\"\n\
    when = \"route == good && method == POST && status < 300\"\n\
    labels = { tenant = \"{header.x-tenant}\", way = \"{scheme}\" }\nmax_series = 3\n";

fn order(daemon: &Daemon, tenant: &str) {
    let fields = format!("X-Tenant: {tenant}\r\n");
    ask(daemon.http(), &request("POST", "/order", &fields, "some"));
}

fn orders(daemon: &Daemon, tenant: &str) -> Option<f64> {
    daemon.metrics().sum("custom_orders_total", &[("tenant", tenant)])
}

#[test]
fn a_counter_has_what_its_condition_and_its_labels_say() {
    let bytes = "[metrics.custom.bytes_total]\nadd = \"bytes_sent\"\n[metrics.custom.none]\nwhen = \"status == 418\"\n";
    let daemon = Daemon::start(&answering(&format!("{ORDERS}{bytes}")));
    for tenant in ["red", "blue", "red"] {
        order(&daemon, tenant);
    }
    get(daemon.http(), "/order");
    ask(daemon.http(), &request("POST", "/bad/x", "X-Tenant: red\r\n", ""));
    daemon.wait_for_metric("custom_bytes_total", &[], 17);
    assert_eq!(orders(&daemon, "red"), Some(2.0));
    assert_eq!(orders(&daemon, "blue"), Some(1.0));
    assert_eq!(daemon.metrics().sum("custom_none_total", &[]), Some(0.0), "it begins at 0");
    let text = daemon.metrics().text().to_owned();
    for line in [
        "# HELP custom_orders_total Orders processed.",
        "# TYPE custom_orders_total counter",
        "custom_orders_total{tenant=\"red\",way=\"http\"} 2",
        "custom_bytes_total 17",
    ] {
        assert!(text.lines().any(|it| it == line), "{line} in {text}");
    }
}

#[test]
fn values_that_clients_choose_make_only_so_many_series() {
    let daemon = Daemon::start(&answering(ORDERS));
    for tenant in ["a", "b", "c"] {
        order(&daemon, tenant);
    }
    daemon.wait_for_metric("custom_orders_total", &[], 3);
    let make = |number: usize| {
        format!(
            "POST /order HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\nX-Tenant: {}\r\n\r\n",
            if number.is_multiple_of(4) { "a".to_owned() } else { format!("t{number}") }
        )
    };
    Load::on(daemon.http()).requests(400).asking(make).run().expect_no_failure();
    daemon.wait_for_metric("custom_orders_total", &[], 403);
    assert_eq!(orders(&daemon, "a"), Some(101.0));
    assert_eq!(orders(&daemon, "other"), Some(300.0));
    let text = daemon.metrics().text().to_owned();
    assert_eq!(text.lines().filter(|it| it.starts_with("custom_orders_total{")).count(), 4);
}

#[test]
fn a_counter_lives_over_reloads_and_ends_with_its_table() {
    let daemon = Daemon::start(&answering(ORDERS));
    order(&daemon, "a");
    daemon.wait_for_metric("custom_orders_total", &[], 1);
    daemon.reconfigure(&answering(&ORDERS.replace("POST", "PUT").replace("Orders p", "All p")));
    order(&daemon, "a");
    ask(daemon.http(), &request("PUT", "/order", "X-Tenant: a\r\n", "some"));
    daemon.wait_for_metric("custom_orders_total", &[("tenant", "a")], 2);
    assert!(daemon.metrics().text().contains("# HELP custom_orders_total All processed."));
    daemon.reconfigure(&answering(&ORDERS.replace("tenant =", "shop =").replace("POST", "PUT")));
    ask(daemon.http(), &request("PUT", "/order", "X-Tenant: a\r\n", "some"));
    daemon.wait_for_metric("custom_orders_total", &[("shop", "a")], 1);
    assert_eq!(orders(&daemon, "a"), None, "another set of labels is another metric");
    daemon.reconfigure(&answering(""));
    assert_eq!(daemon.metrics().sum("custom_orders_total", &[]), None);
}
