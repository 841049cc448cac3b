// swift-tools-version: 6.2
// The map of the project. A target imports only targets above it, and only one target imports each C library.
// SwiftPM refuses a cycle, and 'tools/check/imports' (part of 'make lint') refuses an import that is not declared here.
import PackageDescription

/// How the targets are optimized in a build for tests: `TESTS=-Onone`, as tools/check/run-tests has it. Such a build is one
/// with `-c release`, because that compiles a target as a whole: a sixth less work than a debug build of everything.
let testing = Context.environment["TESTS"].flatMap { $0.isEmpty ? nil : $0 }

let strict: [SwiftSetting] =
    (testing.map { [.unsafeFlags([$0, "-enable-testing"])] } ?? []) + [
        .treatAllWarnings(as: .error),
        .enableUpcomingFeature("InternalImportsByDefault"),
        .enableUpcomingFeature("MemberImportVisibility"),
        // Without the first option, the compiled code looks up a generic type by its name. The runtime then searches all
        // conformances of the program for each of the type's requirements, which costs a command up to a sixth of its
        // instructions. It is an option of the compiler's inside, without a promise: if a later compiler does not know it, natter
        // works without it, too. The second lets the linker arrange functions.
        .unsafeFlags(
            [
                "-Xfrontend", "-disable-concrete-type-metadata-mangled-name-accessors", "-Xfrontend",
                "-function-sections",
            ], .when(configuration: .release)),
    ]

/// The arguments of the linker, as the compiler passes them on.
func linker(_ words: String...) -> [String] { words.flatMap { ["-Xlinker", $0] } }

/// Whether the environment says so.
func isSet(_ variable: String) -> Bool { Context.environment[variable]?.isEmpty == false }

/// natter needs no shared library, so it starts in a millisecond. Half of a short command is page faults, so the kernel can map
/// the program in pages of 2 MiB, and 'make build' lets the linker put side by side what commands use.
///
/// With `SHARED=1` packagers link it to shared libraries. With `PIE=1` it loads at a random address, as our own packages have
/// it. That costs a command 0.7 ms, so what you build for yourself does not. Only lld can link it so, and only without an rpath,
/// with which glibc 2.36 crashes.
let clientLink: [String] =
    testing != nil || isSet("SHARED")
    ? []
    : ["-static-executable", "-use-ld=lld"]
        + linker("-z", "max-page-size=0x200000", "-z", "separate-loadable-segments")
        + (isSet("PIE")
            ? ["-Xclang-linker", "-static-pie"] + linker("--pack-dyn-relocs=relr", "-z", "now") : [])

func library(_ name: String, headers package: String...) -> Target {
    .systemLibrary(name: name, path: "Sources/C/\(name)", providers: package.isEmpty ? nil : [.apt(package)])
}

/// For targets in which the tests that simulate disks and read files spend most of their time: optimized in builds for tests,
/// too. Assertions stay on, the standard library's as well.
let optimized: [SwiftSetting] = [
    .unsafeFlags(["-O", "-assert-config", "Debug"], testing == nil ? .when(configuration: .debug) : nil)
]

func target(
    _ name: String, imports: [Target.Dependency], path: String? = nil, settings: [SwiftSetting] = []
) -> Target {
    .target(name: name, dependencies: imports, path: path, swiftSettings: strict + settings)
}

func program(
    _ name: String, imports: [Target.Dependency], path: String? = nil, link: [String] = []
) -> Target {
    .executableTarget(
        name: name, dependencies: imports, path: path, swiftSettings: strict,
        linkerSettings: [.unsafeFlags(link, .when(configuration: .release))])
}

func tests(_ name: String, of imports: [Target.Dependency]) -> Target {
    .testTarget(name: name, dependencies: imports, swiftSettings: strict)
}

/// Nearly every target needs these: values, and the operating system.
let basics: [Target.Dependency] = ["NatterModel", "NatterSystem"]

let libraries = [
    library("CSQLite", headers: "libsqlite3-dev"),
    library("CPostgres", headers: "libpq-dev"),
    library("CLZ4", headers: "liblz4-dev"),
    library("CSodium", headers: "libsodium-dev"),
    library("CMicroHTTPD", headers: "libmicrohttpd-dev"),
    library("CGnuTLS", headers: "libgnutls28-dev"),
    library("CEvent", headers: "libevent-dev", "libssl-dev"),
    library("CPCRE2", headers: "libpcre2-dev"),
    library("CZlib", headers: "zlib1g-dev"),
    library("CJemalloc", headers: "libjemalloc-dev"),
    // libedit, of libedit-dev, and the versions of what it needs.
    .target(name: "CLineEdit", path: "Sources/C/CLineEdit"),
    // gettext, which glibc contains.
    library("CGettext"),
    // Our own C: CRC-32C by the processor's instruction, and calls that Swift cannot import.
    .target(name: "CSystem", path: "Sources/C/CSystem"),
    // The guides of the manual.
    .target(name: "CManual", path: "Sources/C/CManual"),
    // The files of the web page.
    .target(name: "CWebPage", path: "Sources/C/CWebPage", exclude: ["page"]),
]

let sources = [
    // Values without I/O: sequence numbers, ids, names, cursors, times, limits, and phrases for people.
    target("NatterModel", imports: ["CGettext"], settings: optimized),
    // The operating system: files behind the `Disk` protocol, locks, threads, clocks, hashes, random bytes.
    target("NatterSystem", imports: ["NatterModel", "CSystem", "CSodium"], settings: optimized),
    // The log format: records, blocks, segments, dictionaries, the hash chain.
    target("NatterLog", imports: basics + ["CLZ4"], settings: optimized),
    // SQLite: connections, statements, schemas.
    target("NatterSQLite", imports: basics + ["CSQLite"], settings: optimized),
    // The full-text index and its query language.
    target("NatterSearch", imports: basics + ["NatterSQLite"]),
    // One conversation: its segments and its tail as one log, reading, recovery, quarantine.
    target("NatterConversation", imports: basics + ["NatterLog", "NatterSQLite", "NatterSearch"]),
    // The server's store: numbering, authority, sync and sealing, over an engine that keeps a log, rows and blocks.
    target(
        "NatterStore",
        imports: basics + ["NatterLog", "NatterSQLite", "NatterSearch", "NatterConversation", "CPostgres"]),
    // Routes, bodies, objects, errors and sync frames that server and client exchange, and their JSON.
    target("NatterProtocol", imports: basics, settings: optimized),
    // The HTTP listener with TLS, the API over a store, and the web page.
    target(
        "NatterServer",
        imports: basics + ["NatterStore", "NatterProtocol", "CMicroHTTPD", "CGnuTLS", "CWebPage", "CZlib"]),
    // An HTTP/1.1 client with TLS, limits and deadlines; it knows nothing of profiles or replicas.
    target("NatterHTTP", imports: basics + ["CEvent"]),
    // Profiles, the API's requests, replica, sync, outbox, patterns to search for.
    target(
        "NatterClient",
        imports: basics + [
            "NatterLog", "NatterSQLite", "NatterSearch", "NatterConversation", "NatterProtocol", "NatterHTTP", "CPCRE2",
        ]),
    // Both command lines share it: the table of commands, parser, help, escaping, exit codes.
    target("NatterCommandLine", imports: basics + ["CManual"]),
    // The commands of natter, and the line that 'natter chat' edits.
    target(
        "NatterCommands",
        imports: basics + [
            "NatterLog", "NatterConversation", "NatterProtocol", "NatterHTTP", "NatterClient", "NatterCommandLine",
            "CLineEdit",
        ]),
    // The commands of natterd, and its allocator.
    target(
        "NatterDaemon",
        imports: basics + [
            "NatterHTTP", "NatterStore", "NatterProtocol", "NatterServer", "NatterCommandLine", "CJemalloc",
        ]),
    program("natter", imports: ["NatterCommands"], link: clientLink),
    program("natterd", imports: ["NatterDaemon"], link: linker("-z", "now")),
]

let testTargets = [
    // For tests of programs and targets: random numbers, directories, processes, a raw HTTP client. It imports no target.
    target("TestSupport", imports: [], path: "Tests/Support/Basics"),
    // Disks that fail, a clock that a test moves, waiting.
    target(
        "SystemSupport", imports: basics + ["CSQLite", "TestSupport"], path: "Tests/Support/System", settings: optimized
    ),
    // A store with users.
    target(
        "StoreSupport", imports: basics + ["NatterStore", "TestSupport", "SystemSupport"], path: "Tests/Support/Store"),
    // A server in this process, and those who use it by HTTP or by commands.
    target(
        "ServerSupport",
        imports: basics + [
            "NatterStore", "NatterProtocol", "NatterServer", "NatterHTTP", "NatterClient", "NatterCommandLine",
            "NatterCommands", "TestSupport", "SystemSupport",
        ], path: "Tests/Support/Server"),
    // Disks, clocks and networks that fail as a seed says, for tests and for torture.
    target(
        "FaultSimulation",
        imports: basics + [
            "NatterConversation", "NatterStore", "NatterProtocol", "NatterClient", "TestSupport", "SystemSupport",
            "StoreSupport",
        ], path: "Tests/FaultSimulation"),
    program(
        "torture", imports: ["NatterSystem", "TestSupport", "SystemSupport", "FaultSimulation"], path: "Tests/Torture"),
    tests("NatterModelTests", of: ["NatterModel", "TestSupport"]),
    tests("NatterSystemTests", of: basics + ["CSystem", "TestSupport"]),
    tests("NatterLogTests", of: basics + ["NatterLog", "TestSupport", "SystemSupport"]),
    tests("NatterSearchTests", of: basics + ["NatterSQLite", "NatterSearch", "TestSupport"]),
    tests(
        "NatterConversationTests",
        of: basics + [
            "NatterLog", "NatterSQLite", "NatterSearch", "NatterConversation", "TestSupport", "SystemSupport",
        ]),
    tests(
        "NatterStoreTests",
        of: basics + [
            "NatterLog", "NatterSQLite", "NatterSearch", "NatterConversation", "NatterStore", "TestSupport",
            "SystemSupport", "StoreSupport",
        ]),
    tests("NatterProtocolTests", of: ["NatterModel", "NatterProtocol", "TestSupport"]),
    // Its TLS client is OpenSSL, which natter uses too; natterd uses GnuTLS.
    tests(
        "NatterServerTests",
        of: basics + [
            "CEvent", "NatterLog", "NatterStore", "NatterProtocol", "NatterServer", "NatterHTTP", "TestSupport",
            "SystemSupport", "ServerSupport",
        ]),
    tests("NatterHTTPTests", of: basics + ["NatterHTTP", "TestSupport", "SystemSupport"]),
    tests(
        "NatterClientTests",
        of: basics + [
            "NatterLog", "NatterSQLite", "NatterSearch", "NatterConversation", "NatterStore", "NatterProtocol",
            "NatterServer", "NatterHTTP", "NatterClient", "NatterCommands", "TestSupport", "SystemSupport",
            "StoreSupport",
            "ServerSupport", "FaultSimulation",
        ]),
    tests("NatterCommandLineTests", of: basics + ["NatterCommandLine", "TestSupport", "SystemSupport"]),
    tests(
        "NatterCommandsTests",
        of: basics + [
            "NatterLog", "NatterProtocol", "NatterHTTP", "NatterClient", "NatterCommandLine", "NatterCommands",
            "NatterDaemon", "TestSupport", "SystemSupport", "ServerSupport",
        ]),
    tests(
        "NatterDaemonTests",
        of: basics + [
            "NatterStore", "NatterProtocol", "NatterHTTP", "NatterServer", "NatterCommandLine", "NatterDaemon",
            "TestSupport", "SystemSupport", "StoreSupport",
        ]),
    tests(
        "FaultSimulationTests",
        of: basics + [
            "NatterSearch", "NatterStore", "TestSupport", "SystemSupport", "StoreSupport", "FaultSimulation",
        ]),
    // These run the programs and import none of their code, so that one mistake cannot be on both sides.
    tests("ProgramTests", of: ["TestSupport"]),
]

/// Declares what the targets below a target import, too. A value can hold one of a target that its user does not import, and
/// SwiftPM compiles a user anew only if a target that it declares looks different. Without this, a build after a change could
/// leave code that takes the new value for one of the former shape.
func declareAll(of targets: [Target]) {
    var below: [String: Set<String>] = [:]
    for target in targets {
        var names: Set<String> = []
        for case .byNameItem(let name, _) in target.dependencies { names.formUnion((below[name] ?? []).union([name])) }
        below[target.name] = names
        target.dependencies = names.sorted().map { .byName(name: $0) }
    }
}
if !isSet("DECLARED") { declareAll(of: sources + testTargets) }

let package = Package(
    name: "natter",
    products: [
        .executable(name: "natter", targets: ["natter"]),
        .executable(name: "natterd", targets: ["natterd"]),
    ],
    targets: libraries + sources + testTargets,
    swiftLanguageModes: [.v6]
)
