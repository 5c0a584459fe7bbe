import numpy as np
import pytest
import tensorflow as tf
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from support.tiny_model import Tiny
from tensorflow.core.framework import tensor_pb2

from sar_tf.serving.export import export
from sar_tf.serving.warmup import WARMUP_FILE

# The fields of tensorflow_serving/apis/{prediction_log,predict,model}.proto that a
# request has: message -> (name, number, type); "*" is a map from texts.
MESSAGES = {
    "ModelSpec": [("name", 1, "string"), ("signature_name", 3, "string")],
    "InputsEntry": [("key", 1, "string"), ("value", 2, "tensorflow.TensorProto")],
    "PredictRequest": [("model_spec", 1, "ModelSpec"), ("inputs", 2, "InputsEntry*")],
    "PredictLog": [("request", 1, "PredictRequest")],
    "PredictionLog": [("predict_log", 6, "PredictLog")],
}


@pytest.fixture(scope="module")
def prediction_log():
    """The class of PredictionLog, from its description."""
    field = descriptor_pb2.FieldDescriptorProto
    file = descriptor_pb2.FileDescriptorProto(
        name="prediction_log_of_test.proto", package="serving", syntax="proto3"
    )
    file.dependency.append(tensor_pb2.DESCRIPTOR.name)
    for name, fields in MESSAGES.items():
        message = file.message_type.add(name=name)
        for field_name, number, kind in fields:
            own = message.field.add(name=field_name, number=number)
            own.label = (
                field.LABEL_REPEATED if kind.endswith("*") else field.LABEL_OPTIONAL
            )
            own.type = field.TYPE_STRING if kind == "string" else field.TYPE_MESSAGE
            if kind != "string":
                full = kind.removesuffix("*")
                own.type_name = f".{full}" if "." in full else f".serving.{full}"
    pool = descriptor_pool.Default()
    pool.Add(file)
    found = pool.FindMessageTypeByName("serving.PredictionLog")
    return message_factory.GetMessageClass(found)


def test_each_signature_has_a_request_that_it_answers(
    amazon_pipeline, prediction_log, tmp_path
):
    model = Tiny(amazon_pipeline.spec, amazon_pipeline.tables)
    export(model, tmp_path / "1", amazon_pipeline)
    loaded = tf.saved_model.load(tmp_path / "1")
    answered = set()
    for record in tf.data.TFRecordDataset(str(tmp_path / "1" / WARMUP_FILE)):
        log = prediction_log.FromString(record.numpy())
        assert log.SerializeToString() == record.numpy()
        request = log.predict_log.request
        name = request.model_spec.signature_name
        inputs = {e.key: tf.constant(tf.make_ndarray(e.value)) for e in request.inputs}
        outputs = loaded.signatures[name](**inputs)
        size = 10 if name.startswith("retrieve") else 100
        assert outputs["scores"].shape == (1, size)
        assert np.isfinite(outputs["scores"]).all()
        answered.add(name)
    assert answered == set(loaded.signatures)
    assert len(answered) == 6
