/* SPDX-License-Identifier: MIT */
/* weir-bench: what does weir give over thread-pool I/O, on this disk and this loopback? */
#include "harness.h"
#include "json.h"
#include "machine.h"
#include "report.h"
#include "trial.h"

#include <errno.h>
#include <fnmatch.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    EXIT_USAGE = 2,
    BENCHES_MAX = 96,
};

struct command {
    struct settings settings;
    const char *json_path; /* NULL: none */
    FILE *json;
    FILE *tables;
    bool selected[BENCHES_MAX];
};

static void print_usage(FILE *out)
{
    fprintf(out,
            "usage: weir-bench list\n"
            "       weir-bench run [--quick] [--json FILE] [--dir DIR] [PATTERN...]\n"
            "\n"
            "list      the benchmarks and their contenders\n"
            "run       all of them, or those whose name matches a shell pattern\n"
            "--quick   shorter runs and smaller test files: about three minutes, not ten or more\n"
            "--json    one object a line into FILE; - is standard output, and then the tables\n"
            "          go to standard error\n"
            "--dir     the folder of the test files, which tells the disk that is measured;\n"
            "          the current one by default. Nothing stays in it.\n");
}

static __attribute__((noreturn)) void refuse(const char *what, const char *argument)
{
    fprintf(stderr, "weir-bench: %s: %s\n", what, argument);
    exit(EXIT_USAGE);
}

static int list(void)
{
    for (unsigned index = 0; index < bench_count; index++) {
        printf("%-23s %s\n%23s", benches[index].name, benches[index].question, "");
        for (const struct contender *each = benches[index].contenders; each->name; each++)
            printf(" %s", each->name);
        printf("\n");
    }
    return 0;
}

/* --- Arguments ------------------------------------------------------------------------------- */

static void select_benches(struct command *command, const char *pattern)
{
    bool found = false;

    for (unsigned index = 0; index < bench_count; index++) {
        if (fnmatch(pattern, benches[index].name, 0) != 0)
            continue;
        command->selected[index] = true;
        found = true;
    }
    if (!found)
        refuse("no benchmark matches (weir-bench list shows them)", pattern);
}

static void read_arguments(struct command *command, char **arguments)
{
    bool any = false;

    for (; *arguments != NULL; arguments++) {
        const char *argument = *arguments;
        if (strcmp(argument, "--quick") == 0) {
            command->settings.quick = true;
        } else if (strcmp(argument, "--json") == 0 || strcmp(argument, "--dir") == 0) {
            if (arguments[1] == NULL)
                refuse("it needs an argument", argument);
            arguments++;
            *(argument[2] == 'j' ? &command->json_path : &command->settings.folder) = *arguments;
        } else if (argument[0] == '-') {
            refuse("unknown option", argument);
        } else {
            select_benches(command, argument);
            any = true;
        }
    }
    if (!any)
        select_benches(command, "*");
}

static void open_outputs(struct command *command)
{
    bool to_stdout = command->json_path != NULL && strcmp(command->json_path, "-") == 0;

    command->tables = to_stdout ? stderr : stdout;
    if (command->json_path == NULL)
        return;
    command->json = to_stdout ? stdout : fopen(command->json_path, "we");
    if (command->json == NULL) {
        fprintf(stderr, "weir-bench: cannot write %s: %s\n", command->json_path, strerror(errno));
        exit(1);
    }
}

/* --- The run --------------------------------------------------------------------------------- */

/* All files are made before the first trial, so that a folder that cannot hold them is told now. */
static void prepare_all(const struct command *command)
{
    for (unsigned index = 0; index < bench_count; index++)
        if (command->selected[index] && benches[index].family->prepare != NULL)
            benches[index].family->prepare(&benches[index], &command->settings);
}

static bool any_failed(const struct results *results)
{
    for (unsigned index = 0; index < results->entry_count; index++)
        if (!entry_ran(&results->entries[index]) && !results->entries[index].skipped)
            return true;
    return false;
}

static int run(char **arguments)
{
    static struct results results[BENCHES_MAX];
    struct command command = { .settings.folder = "." };
    uint64_t start_ns = now_ns();
    unsigned count = 0;
    bool failed = false;

    read_arguments(&command, arguments);
    open_outputs(&command);
    machine_init();
    trial_init();
    prepare_all(&command);
    for (unsigned index = 0; index < bench_count; index++) {
        if (!command.selected[index])
            continue;
        harness_run(&benches[index], &command.settings, &results[count]);
        if (command.json != NULL)
            json_write(command.json, &results[count]);
        failed = failed || any_failed(&results[count]);
        count++;
    }
    fprintf(command.tables, "\n");
    machine_print(command.tables, command.settings.folder);
    fprintf(command.tables,
            "\na cell: weir's value as a multiple of this contender's, then its own "
            "median and half its spread;\n! is where weir is worse by over 3 %%\n");
    for (unsigned index = 0; index < count; index++)
        report_table(command.tables, &results[index]);
    report_summary(command.tables, results, count);
    fprintf(command.tables, "\n%s in %.0f s\n", failed ? "FAILED trials, see above;" : "done",
            (double)(now_ns() - start_ns) / (double)NS_PER_S);
    if (command.json != NULL && fflush(command.json) != 0)
        return 1;
    return failed;
}

int main(int argc, char **argv)
{
    if (argc == 2 && strcmp(argv[1], "list") == 0)
        return list();
    if (argc >= 2 && strcmp(argv[1], "run") == 0)
        return run(argv + 2);
    if (argc == 2 && (strcmp(argv[1], "help") == 0 || strcmp(argv[1], "--help") == 0 ||
                      strcmp(argv[1], "-h") == 0)) {
        print_usage(stdout);
        return 0;
    }
    print_usage(stderr);
    return EXIT_USAGE;
}
