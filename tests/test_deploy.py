"""The deploy files, each against the schema or the validator that exists for it."""

import json
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import jsonschema
import kubernetes_validate
import yaml
from dvc.repo import Repo

from tests.imports import ROOT

DEPLOY = ROOT / "deploy"

STRINGS = {"type": "object", "additionalProperties": {"type": "string"}}


def fields(required: str, **types: Any) -> dict[str, Any]:
    """A schema of an object with these fields and no others."""
    return {
        "type": "object",
        "required": required.split(),
        "properties": {
            name: {"type": kind} if isinstance(kind, str) else kind for name, kind in types.items()
        },
        "additionalProperties": False,
    }


# Types and required fields of KubeRay's RayJob (ray.io/v1), as far as the manifest uses them. The
# operator's own definition repeats Kubernetes' schema of a pod, which is validated apart.
WORKER_GROUP = fields(
    "groupName maxReplicas minReplicas rayStartParams template",
    groupName="string",
    maxReplicas="integer",
    minReplicas="integer",
    rayStartParams=STRINGS,
    replicas="integer",
    template="object",
)
RAY_CLUSTER = fields(
    "headGroupSpec",
    headGroupSpec=fields("rayStartParams template", rayStartParams=STRINGS, template="object"),
    rayVersion="string",
    workerGroupSpecs={"type": "array", "items": WORKER_GROUP},
)
RAY_JOB = fields(
    "",
    backoffLimit="integer",
    entrypoint="string",
    rayClusterSpec=RAY_CLUSTER,
    shutdownAfterJobFinishes="boolean",
    submissionMode={"enum": ["K8sJobMode", "HTTPMode"]},
    ttlSecondsAfterFinished="integer",
)


def manifest(name: str) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((DEPLOY / name).read_text())
    return found


def groups() -> list[dict[str, Any]]:
    cluster = manifest("ray-job.yaml")["spec"]["rayClusterSpec"]
    return [cluster["headGroupSpec"], *cluster["workerGroupSpecs"]]


def locked(package: str) -> str:
    lines = (ROOT / "requirements.lock").read_text().splitlines()
    (version,) = [line.split("==")[1] for line in lines if line.startswith(f"{package}==")]
    return version


def test_the_ray_cluster_fits_ray_s_own_schema() -> None:
    found = find_spec("ray")
    assert found is not None
    assert found.origin is not None
    schema = json.loads((Path(found.origin).parent / "autoscaler/ray-schema.json").read_text())
    cluster = yaml.safe_load((DEPLOY / "ray-cluster.yaml").read_text())
    jsonschema.validate(cluster, schema)
    assert cluster["max_workers"] == len(cluster["provider"]["worker_ips"])


def test_the_ray_cluster_s_dashboard_is_on_loopback() -> None:
    cluster = yaml.safe_load((DEPLOY / "ray-cluster.yaml").read_text())
    (start,) = [line for line in cluster["head_start_ray_commands"] if "ray start" in line]
    assert "--dashboard-host=127.0.0.1" in start
    for commands in ("head_start_ray_commands", "worker_start_ray_commands"):
        assert any("RAY_AUTH_MODE=token ray start" in line for line in cluster[commands])


def test_the_job_fits_kuberay_s_definition() -> None:
    job = manifest("ray-job.yaml")
    assert (job["apiVersion"], job["kind"]) == ("ray.io/v1", "RayJob")
    jsonschema.validate(job["spec"], RAY_JOB)
    assert job["spec"]["rayClusterSpec"]["rayVersion"] == locked("ray")


def test_the_job_s_pods_and_policy_fit_kubernetes_schemas() -> None:
    version = kubernetes_validate.latest_version()
    for group in groups():
        pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "pod"}, **group["template"]}
        kubernetes_validate.validate(pod, version, strict=True)
    kubernetes_validate.validate(manifest("network-policy.yaml"), version, strict=True)


def test_the_policy_has_a_fixed_name_so_a_second_job_adds_no_other() -> None:
    assert manifest("network-policy.yaml")["metadata"] == {"name": "skipscan"}


def test_the_dashboard_that_the_operator_asks_is_closed_to_others() -> None:
    policy = manifest("network-policy.yaml")["spec"]
    assert policy["podSelector"]["matchLabels"] == {"ray.io/is-ray-node": "yes"}
    nodes, operator = policy["ingress"]
    assert nodes == {"from": [{"podSelector": policy["podSelector"]}]}
    assert operator["ports"] == [{"port": 8265}]
    assert "podSelector" in operator["from"][0]


def test_the_container_file_has_nothing_that_hadolint_finds() -> None:
    hadolint = Path(sys.executable).parent / "hadolint"
    found = subprocess.run(
        [hadolint, DEPLOY / "Containerfile"], capture_output=True, text=True, check=False
    )
    assert (found.returncode, found.stdout) == (0, "")


def test_the_image_has_the_rsync_by_which_ray_up_copies_into_a_container() -> None:
    assert "docker" in yaml.safe_load((DEPLOY / "ray-cluster.yaml").read_text())
    assert " rsync " in (DEPLOY / "Containerfile").read_text()


def copies() -> list[list[str]]:
    """The sources and, last, the destination of each COPY of the container file."""
    lines = (DEPLOY / "Containerfile").read_text().splitlines()
    return [line.split()[1:] for line in lines if line.startswith("COPY")]


def test_what_the_container_file_copies_is_there() -> None:
    for *sources, _ in copies():
        assert all((ROOT / source).exists() for source in sources), sources


def test_dvc_ignores_bytecode_in_the_image(tmp_path: Path) -> None:
    bytecode = tmp_path / "stages/__pycache__"
    bytecode.mkdir(parents=True)
    (tmp_path / ".dvc").mkdir()
    (tmp_path / ".dvc/config").write_text("[core]\n    no_scm = true\n")
    for *sources, destination in copies():
        if destination == "./":
            for source in sources:
                shutil.copy(ROOT / source, tmp_path)
    assert Repo(str(tmp_path)).dvcignore.is_ignored_dir(str(bytecode))
