import NatterSystem
import Testing

@Suite("log -f")
struct FollowTests {
    @Test("prints what comes, counts from the oldest with a cursor file, and moves the file as it goes")
    func follow() async throws {
        let server = try TestServer()
        let (alice, bob) = (try server.user("alice"), try server.user("bob"))
        let file = "\(alice.directory.path)/seen"
        _ = bob("send", "1")
        // It ends by itself once it has three
        async let followed = Task.detached {
            alice.run(["log", "-f", "-n", "3", "--cursor-file", file, "--format", "%m"])
        }.value
        while TemporaryDirectory.text(file) == nil { await Task.yield() }
        _ = (bob("send", "2"), bob("pm", "alice", "not here"), bob("send", "3"))
        let outcome = await followed
        #expect(outcome.lines == ["1", "2", "3"] && outcome.code == 0)
        #expect(alice.texts("log", "--cursor-file", file) == [])
    }

    @Test("with --all too")
    func all() async throws {
        let server = try TestServer()
        let (alice, bob) = (try server.user("alice"), try server.user("bob"))
        let file = "\(alice.directory.path)/seen"
        async let followed = Task.detached {
            alice.run(["log", "-f", "--all", "-n", "2", "--cursor-file", file, "--format", "%c %m"])
        }.value
        while TemporaryDirectory.text(file) == nil { await Task.yield() }
        _ = (bob("pm", "alice", "1"), bob("send", "2"))
        #expect(await followed.lines == ["@bob 1", "general 2"])
    }
}
