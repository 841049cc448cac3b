internal import Testing
internal import TestSupport

@Suite("requests by curl")
struct RequestTests {
    @Test("'curl -d' posts its text, as to ntfy, and a repeated id posts nothing twice")
    func curl() throws {
        let world = try World()
        let token = try world.alice.token()
        for (data, id) in [("disk full", ""), ("disk full", "?id=disk-1"), ("disk full", "?id=disk-1")] {
            let curl = try ChildProcess(
                "/usr/bin/curl",
                [
                    "-fsS", "-d", data, "-H", "Authorization: Bearer \(token)",
                    "\(world.url)/v1/conversations/general/messages\(id)",
                ], environment: [:]
            ).finish()
            #expect(curl.code == 0, "\(curl.errors)")
            #expect(try JSON(parsing: curl.output)[string: "text"] == data)
        }
        #expect(try world.bob.texts("log") == ["disk full", "disk full"])
    }
}
