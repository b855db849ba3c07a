"""OpenVINO on a CPU, with the same jobs as targets/ have: `run_openvino.py FOLDER JOB`, targets/ on PYTHONPATH."""

import time

start = time.perf_counter()
import openvino  # noqa: E402

IMPORT_MS = (time.perf_counter() - start) * 1e3

import protocol  # noqa: E402


def open_session(folder, manifest, threads, exact):
    """exact changes nothing: NNCF keeps what could saturate to 7 bits by itself."""
    settings = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_NUM_THREADS": threads}
    request = openvino.Core().compile_model(str(folder / manifest["model"]), "CPU", settings).create_infer_request()

    def run(feeds):
        request.infer(feeds, share_inputs=True)
        return [request.get_output_tensor(0).data]

    return run


if __name__ == "__main__":
    protocol.main("openvino", openvino.__version__.split("-")[0], IMPORT_MS, (protocol.JOBS, open_session))
