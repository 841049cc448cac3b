import SystemSupport
import Testing

@testable import NatterDaemon

@Suite("the hooks of a store")
struct HookRegistryTests {
    private static let hook = Hook(
        id: "h1", conversation: "general", conversationID: "00112233445566778899aabbccddeeff",
        url: "https://example.org/h", secret: "secret", seq: 1)

    @Test(
        "a hook whose file can't be removed stays, and can be removed later",
        arguments: [DiskFault.Call.remove, .syncDirectory])
    func removal(call: DiskFault.Call) throws {
        let disk = SimulatedDisk()
        let registry = try HookRegistry(of: "/data", disk: disk)
        try registry.add(HookRegistryTests.hook)
        disk.set(fault: DiskFault([call], code: 5, lasts: false))
        #expect(throws: (any Error).self) { try registry.remove("h1") }
        #expect(registry.all == [HookRegistryTests.hook])
        disk.set(fault: nil)
        try registry.remove("h1")
        #expect(registry.all.isEmpty)
        #expect(try HookRegistry(of: "/data", disk: disk).all.isEmpty)
    }
}
