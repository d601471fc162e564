"""Runs one NVFlare job in a proof-of-concept deployment; a script of NVFlare's own environment.

A server and four clients, each a process of its own, over mutual TLS on loopback. With ``he``,
models travel as CKKS ciphertexts (TenSEAL) that the server adds without a key.
"""

import json
import sys
import time
from pathlib import Path

import toy
from nvflare.apis.dxo import DataKind
from nvflare.app_common.aggregators import InTimeAccumulateWeightedAggregator
from nvflare.app_common.np.np_model_persistor import NPModelPersistor
from nvflare.app_common.shareablegenerators import FullModelShareableGenerator
from nvflare.app_common.workflows.scatter_and_gather import ScatterAndGather
from nvflare.fuel.utils.constants import FrameworkType
from nvflare.job_config.api import FedJob
from nvflare.job_config.defs import FilterType
from nvflare.job_config.script_runner import ScriptRunner
from nvflare.recipe.poc_env import PocEnv

CLIENTS = 4
ADMIN = "admin@nvidia.com"


def build(rounds: int, secure: bool, folder: Path) -> FedJob:
    """FedAvg by scatter and gather, as NVFlare's recipes for FedAvg with HE compose it.

    The model is not stored every round (its numpy store cannot hold ciphertexts).
    """
    job = FedJob(name="toy", min_clients=CLIENTS)
    persistor = job.to_server(NPModelPersistor(model=toy.initial().tolist()), id="persistor")
    if secure:
        from nvflare.app_opt.he.intime_accumulate_model_aggregator import (
            HEInTimeAccumulateWeightedAggregator,
        )
        from nvflare.app_opt.he.model_decryptor import HEModelDecryptor
        from nvflare.app_opt.he.model_encryptor import HEModelEncryptor
        from nvflare.app_opt.he.model_shareable_generator import HEModelShareableGenerator

        generator = HEModelShareableGenerator()
        aggregator = HEInTimeAccumulateWeightedAggregator(
            expected_data_kind=DataKind.WEIGHTS, weigh_by_local_iter=False
        )
    else:
        generator = FullModelShareableGenerator()
        aggregator = InTimeAccumulateWeightedAggregator(expected_data_kind=DataKind.WEIGHTS)
    job.to_server(
        ScatterAndGather(
            min_clients=CLIENTS,
            num_rounds=rounds,
            wait_time_after_min_received=0,
            aggregator_id=job.to_server(aggregator, id="aggregator"),
            persistor_id=persistor,
            shareable_generator_id=job.to_server(generator, id="shareable_generator"),
            persist_every_n_rounds=0,
        )
    )
    here = Path(__file__).parent
    job.to_clients(
        ScriptRunner(
            script=str(here / "train.py"),
            script_args=str(folder),
            framework=FrameworkType.NUMPY,
        ),
        tasks=["train"],
    )
    job.to_clients(str(here / "toy.py"))
    if secure:
        job.to_clients(HEModelDecryptor(), tasks=["train"], filter_type=FilterType.TASK_DATA)
        job.to_clients(
            HEModelEncryptor(weigh_by_local_iter=True),
            tasks=["train"],
            filter_type=FilterType.TASK_RESULT,
        )
    return job


def project(secure: bool, port: int, path: Path) -> Path:
    """The deployment's description: the server is named localhost, so that it listens there."""
    lighter = "nvflare.lighter.impl"
    builders = [
        {
            "path": f"{lighter}.workspace.WorkspaceBuilder",
            "args": {"template_file": ["master_template.yml"]},
        },
        {
            "path": f"{lighter}.static_file.StaticFileBuilder",
            "args": {"config_folder": "config"},
        },
        {"path": f"{lighter}.cert.CertBuilder", "args": {}},
        *([{"path": f"{lighter}.he.HEBuilder", "args": {}}] if secure else []),
        {"path": f"{lighter}.signature.SignatureBuilder", "args": {}},
    ]
    server = {"name": "localhost", "type": "server", "org": "bench", "fed_learn_port": port}
    admin = {"name": ADMIN, "type": "admin", "org": "bench", "role": "project_admin"}
    sites = [
        {"name": f"site-{client + 1}", "type": "client", "org": "bench"}
        for client in range(CLIENTS)
    ]
    description = {
        "api_version": 3,
        "name": "bench",
        "description": "toy",
        "participants": [{**server, "default_host": "localhost"}, admin, *sites],
        "builders": builders,
    }
    path.write_text(json.dumps(description))
    return path


def main(rounds: int, secure: bool, folder: Path, port: int) -> None:
    begun = time.monotonic()
    environment = PocEnv(
        num_clients=CLIENTS,
        use_he=secure,
        username=ADMIN,
        project_conf_path=str(project(secure, port, folder / "project.yml")),
        extra={"login_timeout": 60},
    )
    try:
        job_id = environment.deploy(build(rounds, secure, folder))
        result = environment.get_job_result(job_id, timeout=600)
        status = environment.get_job_status(job_id)
        seconds = time.monotonic() - begun
    finally:
        environment.stop(clean_up=False)
    report = {"seconds": seconds, "status": str(status), "result": str(result)}
    (folder / "report.json").write_text(json.dumps(report))


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2] == "he", Path(sys.argv[3]), int(sys.argv[4]))
