import NatterModel
import NatterSystem
import ServerSupport
import Testing
import TestSupport

@Suite("log -f")
struct FollowTests {
    /// A command on a thread of its own, since it waits for others.
    private final class Background: Sendable {
        private let outcome = Monitor<Outcome?>(nil)
        private let thread: SystemThread

        init(_ run: @escaping @Sendable () -> Outcome) throws {
            let outcome = outcome
            thread = try SystemThread(name: "test-follower") {
                let result = run()
                outcome.signal { $0 = result }
            }
        }

        func result() throws -> Outcome {
            guard let result = outcome.wait(timeoutMilliseconds: 60_000, until: { $0 }) else {
                throw Failure("it did not end")
            }
            thread.join()
            return result
        }
    }

    @Test("a watch takes the first message of somebody new, however wrong the clock here is", arguments: [-1, 1])
    func watch(day: Int64) throws {
        let server = try TestServer()
        let (alice, bob) = (try server.user("alice"), try server.user("bob"))
        let (got, wrong) = (bob.directory("got"), SystemClock().now().advanced(milliseconds: day * 86_400_000))
        _ = alice("send", "before")
        let watching = try Background {
            bob.run(["watch", "--name", "w", "--exec", "cat >>'\(got)'; echo >>'\(got)'"], now: wrong)
        }
        try eventually("the watch has begun") { bob("watch", "ls").output.contains("w") }
        _ = (alice("pm", "bob", "hello"), alice("send", "last"))
        try eventually("both messages") {
            Files.text(got).map { $0.contains("hello\n") && $0.contains("last\n") } ?? false
        }
        #expect(Files.text(got)?.contains("before") == false)
        // It ends with its session.
        #expect(bob("logout").code == 0)
        #expect(try watching.result().code == 77)
    }
}
