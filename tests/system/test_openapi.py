"""GET /openapi.json itself. That real answers are as it says is checked by the harness, for every answer of every test
(openapi.py)."""

import http.client
import json

import openapi
from agent import AgentTest, SLOW, controller, guide


class OpenApi(AgentTest):
    def setUp(self):
        if openapi.jsonschema is None:
            self.skipTest("NO JSONSCHEMA: answers are not checked (Debian: python3-jsonschema)")

    def test_document(self):
        agent = self.agent()
        document = agent.get("/openapi.json").json()
        version = agent.get("/version").json()["version"]
        self.assertEqual(document["info"]["version"], version)
        document["info"]["version"] = "@VERSION@"
        self.assertEqual(document, openapi.DOCUMENT)
        self.assertTrue(document["openapi"].startswith("3.1."))
        for name, schema in document["components"]["schemas"].items():
            with self.subTest(schema=name):
                openapi.jsonschema.Draft202012Validator.check_schema(schema)

        def references(value):
            if isinstance(value, dict):
                yield from (v for k, v in value.items() if k == "$ref")
                value = list(value.values())
            if isinstance(value, list):
                for one in value:
                    yield from references(one)
        for reference in references(document):
            at = document
            for part in reference.removeprefix("#/").split("/"):
                at = at[part]
        used = {r.rsplit("/", 1)[1] for r in references(document) if "/schemas/" in r}
        self.assertEqual(set(document["components"]["schemas"]) - used, set())

    def test_every_operation_answers(self):
        agent = self.agent()
        agent.run("x", "true")
        for template, item in openapi.DOCUMENT["paths"].items():
            for method in item.keys() & {"get", "post", "delete"}:
                with self.subTest(path=template, method=method):
                    path = template.replace("{name}", "x")
                    if method == "post":
                        body = guide("y", "true") if template == "/tasks" else [guide("y", "true")]
                        answer = agent.post(path, body)
                    else:
                        answer = agent.request(method.upper(), path)
                    self.assertLess(answer.status, 300)
                    if method == "delete":
                        agent.gone("x")
                        agent.run("x", "true")

    def test_what_the_checks_refuse(self):
        # A check that lets everything through would be worth nothing.
        task = {"$ref": "#/components/schemas/Task"}
        good = {"name": "a", "spec": {"process": {"command": ["x"]}}, "status": {"state": {"running": {}}}}
        openapi.validate(good, task)
        for change in ({"name": ".."}, {"more": 1}, {"spec": {"process": {"command": []}}}, {"spec": {}},
                       {"status": {"state": {}}}, {"status": {"state": {"running": {}, "waiting": {"reason": "Queued"}}}},
                       {"status": {"state": {"waiting": {"reason": "Because"}}}}, {"processStatus": {"running": {}}},
                       {"deletionTimestamp": "now"}):
            with self.subTest(change=change), self.assertRaises(AssertionError):
                openapi.validate({**good, **change}, task)

    def test_watch_events(self):
        agent = self.agent()
        connection = http.client.HTTPConnection("127.0.0.1", agent.port, timeout=10 * SLOW)
        self.addCleanup(connection.close)
        connection.request("GET", "/tasks?watch=true")
        response = connection.getresponse()
        agent.run("a", "true")
        agent.create(controller("b", "true"))
        agent.ended("b")
        agent.delete("b")
        kinds = []
        while kinds[-1:] != ["DELETED"]:
            event = json.loads(response.readline())
            openapi.validate(event, {"$ref": "#/components/schemas/WatchEvent"})
            kinds.append(event["type"])
        self.assertEqual(set(kinds), {"BOOKMARK", "ADDED", "MODIFIED", "DELETED"})
