"""docker/kubernetes: each object by its schema, all of them against each other and against the config,
and the config in a directory as Kubernetes mounts it."""

import asyncio
import json
import os
import pathlib
import re
import socket
import subprocess
import time
import tomllib
import urllib.error
import urllib.request

import kubernetes_validate
import yaml
from run_it import run
from scene import free_port

ROOT = pathlib.Path(__file__).resolve().parents[3]
MANIFESTS = ROOT / "docker/kubernetes"
LATEST = "1.37"
MODELS = "@kubernetes-models/prometheus-operator/monitoring.coreos.com/v1"

# Says what is wrong with the objects on its standard input.
OPERATOR = f"""
import {{ ServiceMonitor }} from "{MODELS}/ServiceMonitor";
import {{ PrometheusRule }} from "{MODELS}/PrometheusRule";
const kinds = {{ ServiceMonitor, PrometheusRule }};
let text = "";
for await (const part of process.stdin) text += part;
for (const object of JSON.parse(text)) new kinds[object.kind](object).validate();
console.log("valid");
"""


def load(name):
    return [it for it in yaml.safe_load_all((MANIFESTS / name).read_text()) if it]


def objects():
    """Everything that the kustomizations name, by kind and name."""
    found = {}
    for directory in ("", "monitoring/"):
        for name in load(directory + "kustomization.yaml")[0]["resources"]:
            for one in load(directory + name):
                found[one["kind"], one["metadata"]["name"]] = one
    return found


def seconds(text):
    units = {"ms": 0.001, "s": 1, "m": 60, "h": 3600}
    return sum(float(n) * units[unit] for n, unit in re.findall(r"([\d.]+)(ms|s|m|h)", text))


def with_defaults(text):
    """A config's text with `${NAME:-default}` filled in."""
    return tomllib.loads(re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", text))


def container():
    pod = objects()["Deployment", "sheave"]["spec"]["template"]["spec"]
    (one,) = pod["containers"]
    return pod, one


async def schemas(_):
    theirs, checked = [], 0
    for (kind, _), one in objects().items():
        if "monitoring.coreos.com" in one["apiVersion"]:
            theirs.append(one)
        else:
            kubernetes_validate.validate(one, LATEST, strict=True)
            checked += 1
    assert checked == 6 and len(theirs) == 2, (checked, theirs)
    # It does find mistakes.
    wrong = objects()["Deployment", "sheave"]
    wrong["spec"]["template"]["spec"]["containers"][0]["prots"] = []
    try:
        kubernetes_validate.validate(wrong, LATEST, strict=True)
    except kubernetes_validate.ValidationError:
        pass
    else:
        raise AssertionError("a wrong key is not found")
    await operator(theirs)
    theirs[0]["spec"]["endpoints"][0]["interval"] = "15 seconds"
    try:
        await operator(theirs)
    except AssertionError:
        return
    raise AssertionError("a wrong interval is not found")


async def operator(several):
    script = pathlib.Path(os.environ["PEERS"]) / "operator.mjs"
    script.write_text(OPERATOR)
    out, _ = await run("node", script, data=json.dumps(several).encode())
    assert out == b"valid\n", out


def agree(scene):
    async def work(_):
        all_of_it = objects()
        text = (MANIFESTS / "sheave.toml").read_text()
        subprocess.run([scene.binary, "check", "-c", MANIFESTS / "sheave.toml"], check=True,
                       capture_output=True)
        pod, one = container()
        config = with_defaults(text)
        # Names of variables: each that is set is read.
        for variable in one["env"]:
            assert "${" + variable["name"] in text, variable
        # Ports.
        ports = {it["name"]: it["containerPort"] for it in one["ports"]}
        port = lambda address: int(address.rsplit(":", 1)[1])
        assert ports == {"http": port(config["listener"]["http"]["address"]),
                         "admin": port(config["admin"]["address"])}, ports
        # The config is mounted where the image reads it.
        (mount,) = one["volumeMounts"]
        (volume,) = pod["volumes"]
        (generator,) = load("kustomization.yaml")[0]["configMapGenerator"]
        assert mount["name"] == volume["name"] and "subPath" not in mount
        assert volume["configMap"]["name"] == generator["name"]
        assert generator["options"]["disableNameSuffixHash"]
        dockerfile = (ROOT / "docker/Dockerfile").read_text()
        assert f"{mount['mountPath']}/{generator['files'][0]}" in dockerfile
        assert f"USER {pod['securityContext']['runAsUser']}:" in dockerfile
        # Who belongs to it.
        labels = all_of_it["Deployment", "sheave"]["spec"]["template"]["metadata"]["labels"]
        admin = all_of_it["Service", "sheave-admin"]
        selectors = [
            all_of_it["Deployment", "sheave"]["spec"]["selector"]["matchLabels"],
            all_of_it["PodDisruptionBudget", "sheave"]["spec"]["selector"]["matchLabels"],
            all_of_it["NetworkPolicy", "sheave"]["spec"]["podSelector"]["matchLabels"],
            all_of_it["Service", "sheave"]["spec"]["selector"],
            admin["spec"]["selector"],
            pod["topologySpreadConstraints"][0]["labelSelector"]["matchLabels"],
        ]
        for selector in selectors:
            assert selector and selector.items() <= labels.items(), selector
        for name in ("sheave", "sheave-admin"):
            (its,) = all_of_it["Service", name]["spec"]["ports"]
            assert its["targetPort"] == its["name"] and its["name"] in ports, its
        ingress = all_of_it["NetworkPolicy", "sheave"]["spec"]["ingress"]
        assert [it["ports"] for it in ingress] == [[{"port": "http"}], [{"port": "admin"}]]
        assert "from" in ingress[1]
        # Autoscaling.
        hpa = all_of_it["HorizontalPodAutoscaler", "sheave"]["spec"]
        target = hpa["scaleTargetRef"]
        assert (target["kind"], target["name"]) in all_of_it
        assert "replicas" not in all_of_it["Deployment", "sheave"]["spec"]
        assert (hpa["minReplicas"], hpa["maxReplicas"]) == (2, 10)
        wanted = {it["resource"]["name"]: it["resource"]["target"]["averageUtilization"]
                  for it in hpa["metrics"]}
        assert wanted == {"cpu": 70, "memory": 80}
        assert wanted.keys() <= one["resources"]["requests"].keys()
        budget = all_of_it["PodDisruptionBudget", "sheave"]["spec"]["maxUnavailable"]
        assert 0 < budget < hpa["minReplicas"]
        # Prometheus finds the admin port, under the name that the alerts want.
        monitor = all_of_it["ServiceMonitor", "sheave"]["spec"]
        assert monitor["selector"]["matchLabels"].items() <= admin["metadata"]["labels"].items()
        assert monitor["endpoints"] == [{"port": "admin", "path": "/metrics", "interval": "15s"}]
        assert admin["metadata"]["labels"][monitor["jobLabel"]] == "sheave"
        rule = all_of_it["PrometheusRule", "sheave"]["spec"]
        assert rule == yaml.safe_load((ROOT / "docker/prometheus/alerts.yml").read_text())
        yaml.safe_load((MANIFESTS / "custom-metrics.yaml").read_text())
        timings(pod, one, config)

    return work


def timings(pod, one, config):
    probes = {name: one[name + "Probe"] for name in ("startup", "liveness", "readiness")}
    paths = {name: it["httpGet"]["path"] for name, it in probes.items()}
    assert paths == {"startup": "/live", "liveness": "/live", "readiness": "/ready"}
    assert all(it["httpGet"]["port"] == "admin" for it in probes.values())
    drain, stop = seconds(config["drain_delay"]), seconds(config["shutdown_timeout"])
    # That it drains is noticed before it stops.
    ready = probes["readiness"]
    assert ready["periodSeconds"] * ready["failureThreshold"] <= drain
    # It is never ended by force.
    sleep = one["lifecycle"]["preStop"]["sleep"]["seconds"]
    assert sleep >= 5
    left = pod["terminationGracePeriodSeconds"] - (sleep + drain + stop)
    assert left >= 3, left


def asks(url, **headers):
    """Status and text. Probes and Prometheus name a pod by its address."""
    request = urllib.request.Request(url, headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=5) as response:
            return response.status, response.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


async def until(what, holds):
    for _ in range(200):
        if await asyncio.to_thread(holds):
            return
        await asyncio.sleep(0.05)
    raise AssertionError(f"it never happened: {what}")


def version(directory, number, text):
    """What the kubelet does with a ConfigMap: a new directory, and one swap of a link."""
    new = directory / f"..2026_11_28_{number}"
    new.mkdir()
    (new / "sheave.toml").write_text(text)
    link = directory / "..data_tmp"
    link.symlink_to(new.name)
    link.rename(directory / "..data")
    if not (directory / "sheave.toml").exists():
        (directory / "sheave.toml").symlink_to("..data/sheave.toml")
    for old in directory.glob("..2026*"):
        if old != new:
            (old / "sheave.toml").unlink()
            old.rmdir()


def mounted(scene):
    """The manifests' config, variables, probes and times with a real daemon."""

    async def work(place):
        _, one = container()
        directory = scene.directory / "configmap"
        directory.mkdir()
        admin, http = free_port(), free_port()
        # Only the admin port is another, because it is taken on this machine.
        text = (MANIFESTS / "sheave.toml").read_text().replace('":9900"', f'"127.0.0.1:{admin}"')
        version(directory, 1, text)
        given = {"PORT": str(http), "APP_HOST": "127.0.0.1", "APP_PORT": str(scene.ports["node"]),
                 "DRAIN_DELAY": "3s", "WORKERS": "1"}
        assert {"APP_HOST", "APP_PORT"} <= {it["name"] for it in one["env"]}
        log = (scene.directory / "mounted.log").open("w")
        # `readOnlyRootFilesystem`: it gets no place to write to.
        process = subprocess.Popen(
            [scene.binary, "run", "--config", directory / "sheave.toml"], env=given, cwd="/proc",
            stdout=log, stderr=log)
        try:
            probe = lambda name: asks(
                f"http://127.0.0.1:{admin}{one[name + 'Probe']['httpGet']['path']}",
                Host="10.42.0.7:9900")[0]
            client = f"http://127.0.0.1:{http}/"
            await until("it is alive", lambda: listens(admin) and probe("liveness") == 200)
            await until("it is ready", lambda: probe("readiness") == 200)
            assert asks(client + "hello")[0] == 200
            (endpoint,) = objects()["ServiceMonitor", "sheave"]["spec"]["endpoints"]
            metrics = asks(f"http://127.0.0.1:{admin}{endpoint['path']}", Host="10.42.0.7:9900")
            assert metrics[0] == 200 and "sheave_uptime_seconds" in metrics[1]
            added = '[[site.route]]\npath = "/version"\nrespond.body = "{}"\n\n[[site.route]]\nupstream'
            for number in (2, 3):
                swap = added.format(number)
                version(directory, number, text.replace("[[site.route]]\nupstream", swap))
                await until(f"version {number}", lambda: asks(client + "version")[1] == str(number))
            # A mistake changes nothing, and can be seen.
            version(directory, 4, text.replace("upstream = ", "upstraem = "))
            health = f"http://127.0.0.1:{admin}/health"
            await until("degraded", lambda: json.loads(asks(health)[1])["status"] == "degraded")
            assert asks(client + "version") == (200, "3")
            version(directory, 5, text)
            await until("well again", lambda: json.loads(asks(health)[1])["status"] == "ok")
            # As a pod ends: not ready, while everything goes on; then it stops by itself.
            begun = time.monotonic()
            process.terminate()
            await until("it is not ready", lambda: probe("readiness") == 503)
            assert asks(client + "hello")[0] == 200 and probe("liveness") == 200
            assert await asyncio.to_thread(process.wait, 20) == 0
            assert time.monotonic() - begun >= 3, "it did not wait for drain_delay"
        finally:
            process.kill()
            process.wait()
            log.close()

    return work


def listens(port):
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
        return True
    except OSError:
        return False
