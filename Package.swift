// swift-tools-version: 6.2
// The map of the project: a room (target) imports only rooms above it, and each C library is imported by exactly one.
import PackageDescription

let strict: [SwiftSetting] = [
    .treatAllWarnings(as: .error),
    .enableUpcomingFeature("InternalImportsByDefault"),
    .enableUpcomingFeature("MemberImportVisibility"),
]

func room(_ name: String, imports: [Target.Dependency] = []) -> Target {
    .target(name: name, dependencies: imports, swiftSettings: strict)
}

func program(_ name: String, imports: [Target.Dependency], path: String? = nil) -> Target {
    .executableTarget(name: name, dependencies: imports, path: path, swiftSettings: strict)
}

func tests(_ name: String, of imports: [Target.Dependency]) -> Target {
    .testTarget(name: name, dependencies: imports, swiftSettings: strict)
}

let package = Package(
    name: "natter",
    products: [
        .executable(name: "natter", targets: ["natter"]),
        .executable(name: "natterd", targets: ["natterd"]),
    ],
    targets: [
        .systemLibrary(name: "CSQLite", providers: [.apt(["libsqlite3-dev"])]),
        .systemLibrary(name: "CLZ4", providers: [.apt(["liblz4-dev"])]),
        .systemLibrary(name: "CSodium", providers: [.apt(["libsodium-dev"])]),
        .systemLibrary(name: "CMicroHTTPD", providers: [.apt(["libmicrohttpd-dev"])]),
        .systemLibrary(name: "CGnuTLS", providers: [.apt(["libgnutls28-dev"])]),
        .systemLibrary(name: "CEvent", providers: [.apt(["libevent-dev", "libssl-dev"])]),
        .systemLibrary(name: "CPCRE2", providers: [.apt(["libpcre2-dev"])]),
        .systemLibrary(name: "CGettext"),
        .target(name: "CSystem"),

        room("NatterLanguage", imports: ["CGettext"]),
        room("NatterModel", imports: ["NatterLanguage"]),
        room("NatterSystem", imports: ["NatterLanguage", "NatterModel", "CSystem"]),
        room("NatterCrypto", imports: ["NatterLanguage", "NatterModel", "CSodium"]),
        room("NatterLog", imports: ["NatterLanguage", "NatterModel", "NatterSystem", "NatterCrypto", "CLZ4"]),
        room("NatterIndex", imports: ["NatterLanguage", "NatterModel", "NatterSystem", "CSQLite"]),
        room(
            "NatterArchive",
            imports: ["NatterLanguage", "NatterModel", "NatterSystem", "NatterCrypto", "NatterLog", "NatterIndex"]),
        room(
            "NatterStore",
            imports: [
                "NatterLanguage", "NatterModel", "NatterSystem", "NatterCrypto", "NatterLog", "NatterIndex",
                "NatterArchive",
            ]),
        room("NatterPattern", imports: ["NatterLanguage", "CPCRE2"]),
        room("NatterWire", imports: ["NatterLanguage", "NatterModel", "NatterSystem"]),
        room("NatterTLS", imports: ["NatterLanguage", "NatterModel", "NatterSystem", "CGnuTLS"]),
        room(
            "NatterServer",
            imports: [
                "NatterLanguage", "NatterModel", "NatterSystem", "NatterStore", "NatterWire", "NatterTLS",
                "CMicroHTTPD",
            ]),
        room(
            "NatterClient",
            imports: [
                "NatterLanguage", "NatterModel", "NatterSystem", "NatterCrypto", "NatterLog", "NatterIndex",
                "NatterArchive",
                "NatterPattern", "NatterWire",
                "CEvent",
            ]),
        room("NatterCLI", imports: ["NatterLanguage", "NatterModel", "NatterSystem"]),
        room(
            "NatterCommands",
            imports: [
                "NatterLanguage", "NatterCLI", "NatterClient", "NatterCrypto", "NatterLog", "NatterModel",
                "NatterPattern",
                "NatterSystem",
                "NatterWire",
            ]),
        room(
            "NatterDaemon",
            imports: [
                "NatterLanguage", "NatterCLI", "NatterServer", "NatterStore", "NatterTLS", "NatterModel",
                "NatterCrypto",
                "NatterSystem",
                "NatterWire",
            ]),
        program("natter", imports: ["NatterCommands"]),
        program("natterd", imports: ["NatterDaemon"]),
        tests("ModelTests", of: ["NatterModel", "NatterSystem", "NatterCrypto", "CSystem"]),
        tests("LogTests", of: ["NatterModel", "NatterSystem", "NatterCrypto", "NatterLog"]),
        tests(
            "APITests",
            of: [
                "NatterServer", "NatterStore", "NatterWire", "NatterModel", "NatterSystem", "NatterCrypto", "NatterLog",
                "NatterClient",
            ]),
        tests(
            "CommandsTests",
            of: [
                "NatterCommands", "NatterCLI", "NatterClient", "NatterServer", "NatterStore", "NatterWire",
                "NatterCrypto",
                "NatterModel", "NatterSystem",
            ]),
        tests(
            "OutboxTests",
            of: [
                "NatterCommands", "NatterCLI", "NatterClient", "NatterServer", "NatterStore", "NatterWire",
                "NatterCrypto", "NatterModel", "NatterSystem",
            ]),
        tests(
            "StoreTests",
            of: [
                "NatterStore", "NatterArchive", "NatterIndex", "NatterLog", "NatterCrypto", "NatterModel",
                "NatterSystem",
            ]),
        tests(
            "DaemonTests",
            of: [
                "natterd", "NatterDaemon", "NatterCLI", "NatterServer", "NatterStore", "NatterWire", "NatterModel",
                "NatterSystem",
            ]),
        tests("CLITests", of: ["NatterCLI", "NatterLanguage", "NatterModel", "NatterSystem"]),
        tests("HTTPClientTests", of: ["NatterClient", "NatterModel", "NatterSystem"]),
        tests("ManualTests", of: ["NatterCLI", "NatterCommands", "NatterDaemon"]),
        // OpenSSL, which natter is a client by, speaks to GnuTLS there.
        tests("ListenerTests", of: ["NatterServer", "NatterTLS", "NatterModel", "NatterSystem", "CEvent"]),
        tests("PatternTests", of: ["NatterPattern"]),
        tests("SearchTests", of: ["NatterIndex", "NatterModel", "NatterSystem"]),
        tests(
            "ReplicaTests",
            of: [
                "NatterClient", "NatterStore", "NatterArchive", "NatterIndex", "NatterLog", "NatterCrypto",
                "NatterWire",
                "NatterModel", "NatterSystem", "NatterServer", "FaultSimulation",
            ]),
        // Disks, clocks and networks that fail as a seed says, for whoever tests or tortures.
        .target(
            name: "FaultSimulation",
            dependencies: [
                "NatterStore", "NatterClient", "NatterWire", "NatterCrypto", "NatterModel", "NatterSystem",
            ], path: "Tests/FaultSimulation", swiftSettings: strict),
        program("torture", imports: ["FaultSimulation", "NatterSystem"], path: "Tests/Torture"),
        tests(
            "FaultTests",
            of: [
                "FaultSimulation", "NatterStore", "NatterClient", "NatterWire", "NatterCrypto", "NatterIndex",
                "NatterModel",
                "NatterSystem",
            ]),
        // These know the programs alone, so that no code of theirs can be on both sides.
        tests("ProgramTests", of: []),
    ],
    swiftLanguageModes: [.v6]
)
