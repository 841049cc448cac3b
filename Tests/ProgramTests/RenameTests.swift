internal import Foundation
internal import Testing
internal import TestSupport

/// Alice's group 'ops' gets another name while bob's messages are on their way, and another group takes its name. His messages
/// must stay in the group that he began with, because carol is in the other one.
@Suite("a group is renamed, and another one takes its name")
struct RenameTests {
    private let world: World

    init() throws {
        world = try World()
        try world.alice.group("ops", with: "bob")
    }

    private func rename() throws {
        try expect(world.alice("group", "rename", "ops", "crew"))
        try world.alice.group("ops", with: "bob", "carol")
    }

    private func texts(_ conversation: String) throws -> [String] {
        try world.alice("log", conversation, "--json").objects()
            .filter { $0[string: "kind"] == nil }.map { $0[string: "text"] ?? "" }
    }

    @Test("what waits in the outbox goes to the group that the replica had under the name", arguments: [false, true])
    func outbox(isLines: Bool) throws {
        _ = try world.bob("sync")
        let words = ["send", "--queue", "--offline", "-c", "OPS"] + (isLines ? ["--lines"] : [])
        try expect(world.bob.run(words, input: .text("secret")), hasNotes: true)
        let entry = try #require(try world.bob("outbox", "ls", "--json").objects().first)
        #expect(entry[string: "conversation_id"]?.count == 32)
        try rename()
        try expect(world.bob("sync"), hasNotes: true)
        #expect(try texts("crew") == ["secret"])
        #expect(try texts("ops").isEmpty)
    }

    @Test("what waits for a group that was deleted stays in the outbox, refused")
    func deleted() throws {
        _ = try world.bob("sync")
        try expect(world.bob("send", "--queue", "--offline", "-c", "ops", "secret"), hasNotes: true)
        try rename()
        try expect(world.alice("group", "delete", "crew", "--yes"))
        let sync = try world.bob("sync")
        #expect(sync.errors.contains("no conversation"), "\(sync)")
        #expect(try world.bob("outbox", "ls", "--json").objects().map { $0[string: "state"] } == ["refused"])
        #expect(try texts("ops").isEmpty)
    }

    @Test("what waits and names a group that the replica does not know goes by the name")
    func unknown() throws {
        _ = try world.bob("sync")
        try rename()
        try world.alice.group("late", with: "bob")
        try expect(world.bob("send", "--queue", "--offline", "-c", "late", "hello"), hasNotes: true)
        try expect(world.bob("sync"), hasNotes: true)
        #expect(try texts("late") == ["hello"])
    }

    @Test("wrap reports to the group that it checked before the command ran", arguments: [true, false])
    func wrap(isReached: Bool) throws {
        if !isReached { _ = try world.bob("sync") }
        let bob = isReached ? world.bob : world.bob.alone
        let running = try bob.start(
            ["wrap", "-c", "ops", "--", "sh", "-c", "echo ready; read line; echo secret output"], input: .pipe)
        #expect(try running.line() == "ready")
        try rename()
        running.type("go on\n")
        #expect(running.finish().code == 0)
        if !isReached { try expect(world.bob("sync"), hasNotes: true) }
        #expect(try texts("crew").map { $0.hasSuffix("secret output") } == [true])
        #expect(try texts("ops").isEmpty)
    }

    @Test("the lines of one command go to one group", arguments: ["--lines", "--ndjson"])
    func lines(form: String) throws {
        func line(_ text: String) -> String { form == "--lines" ? "\(text)\n" : "{\"text\":\"\(text)\"}\n" }
        let running = try world.bob.start(["send", form, "-c", "ops"], input: .pipe)
        running.type(line("one"))
        try eventually("the first line is sent") { try texts("ops") == ["one"] }
        try rename()
        running.type(line("two") + line("three"))
        running.closeInput()
        #expect(running.finish().code == 0)
        #expect(try texts("crew") == ["one", "two", "three"])
        #expect(try texts("ops").isEmpty)
    }

    @Test("mark marks what the replica has, and nothing of a group that it does not know", arguments: [[], ["ops"]])
    func mark(operands: [String]) throws {
        try world.alice.sends("old", to: "ops")
        try world.carol.sends("to all")
        _ = try world.bob("sync")
        try rename()
        try world.alice.sends("new", to: "ops")
        try expect(world.bob.run(["mark"] + operands))
        let unread = try world.bob("ls", "--json").objects().map {
            "\($0[string: "name"] ?? "") \($0[int: "unread"] ?? 0)"
        }
        #expect(Set(unread) == ["crew 0", "ops 1", operands.isEmpty ? "general 0" : "general 1"])
    }

    @Test("numbers that the replica shows of a group that is gone are of no other group")
    func goneNumbers() throws {
        try world.alice.sends("one", "two", to: "ops")
        _ = try world.bob("sync")
        try expect(world.alice("group", "delete", "ops", "--yes"))
        try expect(world.bob("sync"), hasNotes: true)
        try world.alice.group("ops", with: "bob")
        let elsewhere = world.person("elsewhere")
        let login = ["login", "bob", "--password-stdin"]
        try expect(elsewhere.run(login, input: .text("\(World.password)\n")))
        try elsewhere.sends("a", "b", "c", to: "ops")
        let commands = [
            ["edit", "-c", "ops", "3", "x"], ["delete", "-c", "ops", "3"], ["send", "-c", "ops", "--re", "3", "x"],
            ["mark", "ops"],
        ]
        for words in commands {
            let outcome = try world.bob.run(words)
            #expect(outcome.code == 67 && outcome.errors.contains("natter sync"), "\(words): \(outcome)")
        }
        #expect(try texts("ops") == ["a", "b", "c"])
        // After a sync they are of the new one
        try expect(world.bob("sync"))
        try expect(world.bob("delete", "-c", "ops", "3"))
    }

    @Test("mark without SEQ marks nothing of a conversation that is not in the replica, and prints its name")
    func markUnknown() throws {
        try world.alice.sends("one", to: "ops")
        let outcome = try world.bob("mark", "OPS", "--json")
        #expect(outcome.code == 0)
        #expect(try outcome.objects().map { $0[string: "conversation"] } == ["ops"])
        #expect(
            try world.bob("ls", "--json").objects().contains { $0[string: "name"] == "ops" && $0[int: "unread"] == 1 })
    }

    @Test("edits, deletions and replies are about the numbers that the replica shows")
    func changes() throws {
        try world.bob.sends("one", "two", to: "ops")
        let seqs = try world.bob("log", "ops", "--json").objects().filter { $0[string: "kind"] == nil }
            .compactMap { $0[int: "seq"] }
        let (first, second) = (try #require(seqs.first), try #require(seqs.last))
        try rename()
        try world.bob.sends("a", "b", "c", "d", to: "ops")
        // His replica does not know of the new group yet.
        try expect(world.bob("edit", "-c", "ops", "\(first)", "first"))
        try expect(world.bob("delete", "-c", "ops", "\(second)"))
        try expect(world.bob("send", "-c", "ops", "--re", "\(first)", "answer"))
        #expect(try texts("crew") == ["first", "", "answer"])
        #expect(try texts("ops") == ["a", "b", "c", "d"])
    }
}
