// SPDX-License-Identifier: MIT
//
// Boost.Fiber's side of the chan-* benches; see bench/chan.h for the shapes and weir_chan.c for
// their twins. Its scheduler stays in one thread, as a loop of weir's does. It has no select.
//
// A buffered channel of Boost holds 2^n - 1 elements: the least such number that is enough.
#include <boost/fiber/all.hpp>
#include <boost/version.hpp>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <memory>
#include <pthread.h>
#include <sched.h>
#include <thread>
#include <vector>

namespace fibers = boost::fibers;
using buffered = fibers::buffered_channel<uint64_t>;
using unbuffered = fibers::unbuffered_channel<uint64_t>;
using fibers::channel_op_status;

namespace
{

constexpr uint64_t chan_capacity = 128, sieve_primes = 1229;
constexpr size_t stack_bytes = 16 << 10;

size_t size, loop_count;
uint64_t count, begun_ns;

[[noreturn]] void fail(const char *words)
{
    puts(words);
    fflush(stdout);
    _Exit(1);
}

uint64_t now_ns()
{
    using namespace std::chrono;

    return uint64_t(duration_cast<nanoseconds>(steady_clock::now().time_since_epoch()).count());
}

size_t enough(size_t capacity)
{
    size_t slots = 2;

    while (slots - 1 < capacity)
        slots *= 2;
    return slots;
}

// --- Fibers and the threads that run them

template <typename function> fibers::fiber spawn(function &&task)
{
    // A fiber stays in its thread, and so does its stack.
    static thread_local fibers::pooled_fixedsize_stack stacks(stack_bytes);

    return fibers::fiber(fibers::launch::post, std::allocator_arg, stacks,
                         std::forward<function>(task));
}

class crew
{
  public:
    // Tasks are dealt out to the threads in turn.
    void add(std::function<void()> task)
    {
        tasks.push_back(std::move(task));
    }

    // Begins the time, too.
    void run()
    {
        std::vector<std::thread> threads;

        begun_ns = now_ns();
        for (size_t index = 1; index < loop_count; index++)
            threads.emplace_back([this, index] { serve(index); });
        serve(0);
        for (std::thread &each : threads)
            each.join();
    }

  private:
    void serve(size_t index)
    {
        std::vector<fibers::fiber> own;

        bind_thread(index);
        for (; index < tasks.size(); index += loop_count)
            own.push_back(spawn(tasks[index]));
        for (fibers::fiber &each : own)
            each.join();
    }

    // To the index-th of the CPUs given, or round again.
    void bind_thread(size_t index)
    {
        std::vector<size_t> cpus;
        cpu_set_t one;

        for (size_t cpu = 0; cpu < CPU_SETSIZE; cpu++)
            if (CPU_ISSET(cpu, &cpus_given))
                cpus.push_back(cpu);
        CPU_ZERO(&one);
        CPU_SET(cpus[index % cpus.size()], &one);
        pthread_setaffinity_np(pthread_self(), sizeof one, &one);
    }

    static cpu_set_t read_cpus()
    {
        cpu_set_t cpus;

        if (sched_getaffinity(0, sizeof cpus, &cpus) < 0)
            fail("sched_getaffinity failed");
        return cpus;
    }

    std::vector<std::function<void()>> tasks;
    cpu_set_t cpus_given = read_cpus();
};

// --- Kinds of task

template <typename channel> void send(channel &output, uint64_t value)
{
    if (output.push(value) != channel_op_status::success)
        fail("a push failed");
}

template <typename channel> uint64_t receive(channel &input)
{
    uint64_t value;

    if (input.pop(value) != channel_op_status::success)
        fail("a pop failed");
    return value;
}

void expect(uint64_t value, uint64_t expected)
{
    if (value != expected)
        fail("a channel brought another value than was sent");
}

template <typename channel> void sender(channel &output, uint64_t count)
{
    for (uint64_t turn = 0; turn < count; turn++)
        send(output, turn);
}

// From several senders.
void receiver(buffered &input, uint64_t count)
{
    for (uint64_t turn = 0; turn < count; turn++)
        receive(input);
}

// From one sender, in order.
void follower(buffered &input, uint64_t count)
{
    for (uint64_t turn = 0; turn < count; turn++)
        expect(receive(input), turn);
}

template <typename channel> void asker(channel &input, channel &output, uint64_t count)
{
    for (uint64_t turn = 0; turn < count; turn++) {
        send(output, turn);
        expect(receive(input), turn);
    }
}

void relay(unbuffered &input, unbuffered &output, uint64_t count)
{
    for (uint64_t turn = 0; turn < count; turn++)
        send(output, receive(input));
}

// --- Shapes

void pair()
{
    buffered channel(enough(1));
    crew all;

    all.add([&] { asker(channel, channel, count); });
    all.run();
}

void rendezvous()
{
    unbuffered there, back;
    crew all;

    all.add([&] { asker(back, there, count); });
    all.add([&] { relay(there, back, count); });
    all.run();
}

void stream()
{
    buffered channel(enough(size));
    crew all;

    all.add([&] { sender(channel, count); });
    all.add([&] { follower(channel, count); });
    all.run();
}

void mpmc()
{
    buffered channel(enough(chan_capacity));
    crew all;

    for (size_t index = 0; index < size; index++)
        all.add([&] { sender(channel, count / size); });
    for (size_t index = 0; index < size; index++)
        all.add([&] { receiver(channel, count / size); });
    all.run();
}

// Every second thread receives, in the fiber that a thread begins as.
void threads()
{
    buffered channel(enough(chan_capacity));
    std::vector<std::thread> all;
    uint64_t share = count / (loop_count / 2);

    begun_ns = now_ns();
    for (size_t index = 0; index < loop_count; index++)
        all.emplace_back([&channel, index, share] {
            index % 2 == 0 ? sender(channel, share) : receiver(channel, share);
        });
    for (std::thread &each : all)
        each.join();
}

void fanin()
{
    buffered channel(enough(chan_capacity));
    crew all;

    for (size_t index = 0; index < size; index++)
        all.add([&] { sender(channel, count / size); });
    all.add([&] { receiver(channel, count); });
    all.run();
}

void ring()
{
    std::vector<std::unique_ptr<unbuffered>> channels;
    uint64_t turns = count / size;
    crew all;

    for (size_t index = 0; index < size; index++)
        channels.push_back(std::make_unique<unbuffered>());
    all.add([&] { asker(*channels[0], *channels[1], turns); });
    for (size_t index = 1; index < size; index++)
        all.add([&, index] { relay(*channels[index], *channels[(index + 1) % size], turns); });
    all.run();
}

// --- The shapes that end by a close

template <typename channel> void feeder(channel &output, uint64_t count)
{
    sender(output, count);
    output.close();
}

struct job {
    uint64_t value;
    fibers::promise<uint64_t> result;
};

using job_channel = fibers::unbuffered_channel<job>;
using order_channel = fibers::buffered_channel<fibers::future<uint64_t>>;

void dispatcher(buffered &input, job_channel &jobs, order_channel &order)
{
    for (uint64_t value : input) {
        job next = { value, {} };

        order.push(next.result.get_future());
        jobs.push(std::move(next));
    }
    jobs.close();
    order.close();
}

void worker(job_channel &jobs)
{
    job next;

    while (jobs.pop(next) == channel_op_status::success)
        next.result.set_value(next.value);
}

void collector(order_channel &order, buffered &output)
{
    fibers::future<uint64_t> result;

    while (order.pop(result) == channel_op_status::success)
        send(output, result.get());
    output.close();
}

void pipeline()
{
    buffered input(enough(chan_capacity)), output(enough(chan_capacity));
    job_channel jobs;
    order_channel order(enough(size));
    crew all;

    all.add([&] { dispatcher(input, jobs, order); });
    for (size_t index = 0; index < size; index++)
        all.add([&] { worker(jobs); });
    all.add([&] { collector(order, output); });
    all.add([&] { feeder(input, count); });
    all.add([&] { follower(output, count); });
    all.run();
}

using outputs = std::vector<std::unique_ptr<buffered>>;

void spreader(buffered &input, const outputs &all)
{
    for (uint64_t value : input)
        for (const auto &output : all)
            send(*output, value);
    for (const auto &output : all)
        output->close();
}

void mult()
{
    buffered input(enough(chan_capacity));
    outputs taps;
    crew all;

    for (size_t index = 0; index < size; index++) {
        taps.push_back(std::make_unique<buffered>(enough(chan_capacity)));
        all.add([&, index] { follower(*taps[index], count); });
    }
    all.add([&] { spreader(input, taps); });
    all.add([&] { feeder(input, count); });
    all.run();
}

using link = std::shared_ptr<unbuffered>;

void filter(const link &input, const link &output, uint64_t prime)
{
    uint64_t number;

    while (input->pop(number) == channel_op_status::success)
        if (number % prime != 0)
            send(*output, number);
    output->close();
}

void sieve_all()
{
    std::vector<fibers::fiber> own;
    link input = std::make_shared<unbuffered>(), output;
    uint64_t prime;

    own.push_back(spawn([input] { feeder(*input, size); }));
    receive(*input);
    receive(*input); // neither 0 nor 1 is a prime
    for (; input->pop(prime) == channel_op_status::success; input = output) {
        output = std::make_shared<unbuffered>();
        own.push_back(spawn([input, output, prime] { filter(input, output, prime); }));
    }
    if (own.size() != sieve_primes + 1)
        fail("the sieve found another number of primes");
    for (fibers::fiber &each : own)
        each.join();
}

void sieve()
{
    crew all;

    all.add(sieve_all);
    all.run();
}

void close_all()
{
    std::vector<fibers::fiber> own;
    unbuffered channel;
    size_t parked = 0; // one thread runs all of it

    for (size_t index = 0; index < size; index++) {
        own.push_back(spawn([&] {
            uint64_t value;

            parked++;
            channel.pop(value);
        }));
        if (index % 64 == 0)
            boost::this_fiber::yield();
    }
    while (parked < size)
        boost::this_fiber::yield();
    begun_ns = now_ns();
    channel.close();
    for (fibers::fiber &each : own)
        each.join();
}

struct shape {
    const char *name;
    void (*run)();
};

constexpr shape shapes[] = {
    { "pair", pair },   { "rendezvous", rendezvous }, { "stream", stream },
    { "mpmc", mpmc },   { "threads", threads },       { "fanin", fanin },
    { "ring", ring },   { "pipeline", pipeline },     { "mult", mult },
    { "sieve", sieve }, { "close", close_all },
};

} // namespace

int main(int argc, char **argv)
{
    if (argc == 2 && strcmp(argv[1], "version") == 0) {
        printf("%d.%d.%d\n", BOOST_VERSION / 100000, BOOST_VERSION / 100 % 1000,
               BOOST_VERSION % 100);
        return 0;
    }
    for (const shape &each : shapes) {
        if (argc != 5 || strcmp(argv[1], each.name) != 0)
            continue;
        size = strtoul(argv[2], nullptr, 10);
        loop_count = strtoul(argv[3], nullptr, 10);
        count = strtoull(argv[4], nullptr, 10);
        each.run();
        printf("%llu\n", static_cast<unsigned long long>(now_ns() - begun_ns));
        return 0;
    }
    fail("usage: chan-boost SHAPE SIZE LOOPS OPERATIONS");
}
